"""What makes a slimmable model: its start, its objective, its tables, its schedule."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.conftest import GOLDEN, Pixels
from tests.extent import examples
from vrcodec.bitstream.tables import gaussian_tables
from vrcodec.catalog import find_by_family
from vrcodec.codec import Encoder, Engine
from vrcodec.errors import WeightsError
from vrcodec.models import Gained, Slim
from vrcodec.models.coding import entropy
from vrcodec.models.coding.activity import ACTIVITY_CLASSES, LATENT_LIMIT, ActivityPrior
from vrcodec.models.coding.mixture import LogisticMixture
from vrcodec.models.families.slim import even_schedule
from vrcodec.models.networks.backbone import BackboneSize
from vrcodec.models.slimming.widths import Width
from vrcodec.models.weights import load_hyperprior_model, load_trainable
from vrcodec.rate import RATE_CODE_MAX
from vrcodec.training.activity_fit import fit_prior
from vrcodec.training.distributed import ProcessGroup
from vrcodec.training.export import export_model
from vrcodec.training.initialisation import initialise
from vrcodec.training.klt import initialise_from_klt, principal_components
from vrcodec.training.loop import Trainer
from vrcodec.training.objectives import choose_objective, rate_distortion_loss, slimmable_loss
from vrcodec.training.recipes.recipe import Recipe
from vrcodec.training.width_schedule import LEVELS, Curve, find_schedule, mean_work
from vrcodec.training.width_transfer import initialise_from_wide

# As the tiny frozen `gained`, at three widths.
SIZE = BackboneSize(
    channels=24, latent=32, hyper=0, blocks=1, prior=0, widths=(8, 16, 24), reach=(0.5, 0.8, 1.0)
)


def new_model(size: BackboneSize = SIZE) -> Slim:
    torch.manual_seed(0)
    model = Slim(size)
    model.attach_training()
    return model


def crops(photograph: Pixels) -> Tensor:
    return torch.from_numpy(photograph[:128, :192].copy()).permute(2, 0, 1)[None].float() / 255


# --- start and objective ---


def test_the_start_does_what_the_wide_model_does(photograph: Pixels) -> None:
    """Its transforms at the widest, whatever the order of its channels."""
    wide = load_hyperprior_model(GOLDEN / "gained.safetensors")
    assert isinstance(wide, Gained)
    x, rate = crops(photograph), torch.tensor([0.7])
    model = new_model()
    initialise_from_wide(model, wide, x)
    own = model.all_widths()[24]
    factors = wide.gains(rate)
    with torch.no_grad():
        expected = wide.synthesis_net(
            wide.analysis_net(x - 0.5) * factors.gain * factors.inverse_gain
        )
        y = model.run_narrow(own, "analysis_net", x - 0.5)
        gain, inverse = (
            torch.lerp(knots[4], knots[5], 0.9).exp()[:, None, None]
            for knots in (own.log_gain, own.log_inverse_gain)
        )
        found = model.run_narrow(own, "synthesis_net", y * gain * inverse)
    assert torch.allclose(found, expected, atol=1e-4)
    energy = (y * gain).square().mean((0, 2, 3))
    assert energy[:8].sum() > 0.9 * energy.sum()


def test_without_weights_it_starts_as_the_linear_transform(photograph: Pixels) -> None:
    """Of the coefficients that a width has: the more, the better the picture."""
    picture = torch.from_numpy(photograph[:144, :192].copy()).permute(2, 0, 1)
    basis, deviations = principal_components([picture], seed=0)
    size = replace(SIZE, channels=256, latent=320, widths=(192, 256), reach=(0.7, 1.0))
    model = new_model(size)
    initialise_from_klt(model, basis, deviations)
    x = picture[None].float() / 255 - 0.5
    errors = []
    for width in model.all_widths().values():
        with torch.no_grad():
            y = model.run_narrow(width, "analysis_net", x)
            back = model.run_narrow(width, "synthesis_net", y)
        errors.append(float((back - x).square().mean()))
        measured = y.square().mean((0, 2, 3)).sqrt()
        assert torch.allclose(
            width.prior.density.standard_deviations()[:20], measured[:20], rtol=0.3
        )
    assert errors[1] < errors[0] < 1e-3


def test_a_model_without_a_hyperprior_is_no_start() -> None:
    with pytest.raises(WeightsError, match="no hyperprior"):
        load_hyperprior_model(GOLDEN / "slim.safetensors")


def test_gradient_reaches_every_parameter(photograph: Pixels) -> None:
    model = new_model()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    torch.manual_seed(1)
    objective = choose_objective(model)
    assert objective is slimmable_loss
    # Levels are drawn: a few steps meet all knots of the gains, and all middle widths.
    for _ in range(8):
        objective(model, crops(photograph).repeat(4, 1, 1, 1)).total.backward()
    templates = {
        id(p)
        for w in model.all_widths().values()
        for n in w.templates.values()
        for p in n.parameters()
    }
    for name, parameter in model.named_parameters():
        assert id(parameter) not in templates
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


def test_one_width_alone_has_the_plain_loss(photograph: Pixels) -> None:
    size = BackboneSize(
        channels=24, latent=32, hyper=0, blocks=1, prior=0, widths=(24,), reach=(1.0,)
    )
    model = new_model(size).eval()
    x = crops(photograph)
    torch.manual_seed(3)
    found = choose_objective(model)(model, x)
    torch.manual_seed(3)
    rate, _ = torch.rand(2, 1)
    out = model(x, rate, 24)
    expected = rate_distortion_loss(x, out["x_hat"], out["likelihoods"], rate)
    assert float(found.total.detach()) == pytest.approx(float(expected.total.detach()))


def test_narrow_networks_learn_from_the_widest(
    photograph: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sum of the losses is lower the nearer their pictures are to that of the widest."""
    x = crops(photograph)
    size = replace(SIZE, widths=(8, 24), reach=(0.5, 1.0))

    def total(narrow: Tensor) -> float:
        def forward(_: Tensor, level: Tensor, width: int) -> dict[str, object]:
            picture = x + 0.1 if width == 24 else narrow
            return {"x_hat": picture, "likelihoods": {"y": torch.full((1, 4), 0.5)}}

        model = new_model(size)
        torch.manual_seed(0)
        monkeypatch.setattr(model, "forward", forward)
        return float(slimmable_loss(model, x).total)

    # Both are as far from the picture itself.
    assert total(x + 0.1) < total(x - 0.1)


def test_half_of_the_crops_are_where_the_schedule_uses_a_width(
    photograph: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = new_model()
    model.schedule[1, 1:] = torch.tensor([20000, 20001])
    x = crops(photograph).expand(64, -1, -1, -1)
    seen: dict[int, Tensor] = {}

    def forward(_: Tensor, level: Tensor, width: int) -> dict[str, object]:
        seen[width] = level
        return {"x_hat": x, "likelihoods": {"y": torch.full((64, 4), 0.5)}}

    monkeypatch.setattr(model, "forward", forward)
    torch.manual_seed(0)
    slimmable_loss(model, x)
    there = torch.isin((seen[16] * RATE_CODE_MAX).round(), torch.tensor([20000.0, 20001.0]))
    assert 16 <= int(there.sum()) <= 48
    assert seen[16].min() < 0.1
    assert seen[16].max() > 0.9


def test_a_further_stage_knows_the_schedule(tmp_path: Path) -> None:
    earlier = new_model()
    earlier.schedule[1] = torch.tensor([12345, 23456, 34567])
    path = export_model(earlier, tmp_path, [])
    trainer = Trainer(Recipe("slim", size=SIZE), tmp_path, "cpu", ProcessGroup(), seed=0)
    initialise(trainer, path, [], seed=0)
    assert isinstance(trainer.model, Slim)
    assert torch.equal(trainer.model.schedule, earlier.schedule)


# --- tables ---


def test_deviations_are_those_of_the_density() -> None:
    """Against a numerical integral."""
    torch.manual_seed(0)
    density = LogisticMixture(4)
    for parameter in density.parameters():
        torch.nn.init.normal_(parameter)
    edges = torch.linspace(-300, 300, 60_001).expand(1, 4, -1)
    mass = density.interval_probability(edges[..., :-1], edges[..., 1:]).detach().double()[0]
    middle = (edges[0, :, 1:] + edges[0, :, :-1]).double() / 2
    mean = (mass * middle).sum(1)
    variance = (mass * middle.square()).sum(1) - mean.square()
    assert mass.sum(1).tolist() == pytest.approx([1] * 4, rel=1e-3)
    assert density.mean().tolist() == pytest.approx(mean.tolist(), abs=1e-2)
    assert density.standard_deviations().tolist() == pytest.approx(
        variance.sqrt().tolist(), rel=1e-2
    )


def random_prior(seed: int, channels: int) -> ActivityPrior:
    """As no training would make it: everything is in use."""
    random = np.random.default_rng(seed)
    prior = ActivityPrior(channels)
    prior.freeze_tables(gaussian_tables())
    bounds = np.sort(random.integers(0, 200, prior.bounds.shape), axis=-1)
    for own, values in (
        (prior.choice, random.integers(0, 64, prior.choice.shape)),
        (prior.bounds, bounds),
        (prior.weights, random.integers(-1024, 1025, prior.weights.shape)),
    ):
        own.copy_(torch.from_numpy(values))
    return prior


@given(
    seed=st.integers(0, 2**31),
    height=st.integers(1, 7),
    width=st.integers(1, 7),
    level=st.sampled_from([0, 1, 2184, 2185, 40_000, RATE_CODE_MAX]),
    scale=st.sampled_from([0.3, 3.0, 300.0, float(LATENT_LIMIT)]),
)
def test_symbols_come_back(seed: int, height: int, width: int, level: int, scale: float) -> None:
    """Whatever they are, from a prior that makes use of all it can."""
    own = Width(replace(SIZE, channels=16, latent=20, widths=(), reach=()))
    own.prior = random_prior(seed, 20)
    random = np.random.default_rng(seed)
    wild = np.rint(random.normal(0, scale, (20, height, width)))
    symbols = np.clip(wild, -LATENT_LIMIT, LATENT_LIMIT).astype(np.int32)
    stream = own.encode_block(symbols, level)
    back = np.zeros_like(symbols)
    own.decode_block(stream, back, level)
    assert np.array_equal(back, symbols)


def test_busy_places_get_tables_of_their_own() -> None:
    """Where neighbours are busy, another class is met; and what is not decoded yet counts for nothing."""
    prior = random_prior(0, 20)
    prior.bounds.copy_(torch.arange(1, ACTIVITY_CLASSES).expand(prior.bounds.shape))
    calm, busy = np.zeros((2, 20, 6, 6), np.int32)
    busy[:2, 1:3, 1:4] = 5
    seen = {}
    for name, symbols in (("calm", calm), ("busy", busy)):
        decoded, classes = np.zeros_like(symbols), []
        for part in prior.passes(3, decoded):
            classes.append(part.classes)
            decoded[part.channels, part.mask] = symbols[part.channels][:, part.mask]
        seen[name] = classes
    assert (np.concatenate(seen["calm"]) == 0).all()
    assert (seen["busy"][0] == 0).all()
    assert (seen["busy"][1] > 0).any()
    assert (seen["busy"][2] > 0).any()


def test_training_estimate_and_bytes_agree(
    photograph: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_trainable(find_by_family("slim"))
    coder = Encoder("slim", Engine("cpu", "float32")).model
    assert isinstance(model, Slim)
    assert isinstance(coder, Slim)
    monkeypatch.setattr(entropy, "DEAD_ZONE", 0.0)
    pixels, x = photograph[:128, :192], crops(photograph)
    for width in SIZE.widths:
        rate = coder.rate_parameters_at_width(RATE_CODE_MAX // 5, width)
        written = sum(len(s.data) for s in coder.compress(coder.analyse(pixels), rate))
        with torch.no_grad():
            out = model(x, torch.tensor([0.2]), width)
        estimated = float(-torch.log2(out["likelihoods"]["y"]).sum()) / 8
        # The coder knows more than the density: what is busy around a symbol.
        assert 0.75 * estimated < written < 1.02 * estimated + 8


def test_a_fitted_prior_makes_smaller_files_of_what_it_has_seen() -> None:
    coder = Encoder("slim", Engine("cpu", "float32")).model
    assert isinstance(coder, Slim)
    picture = torch.from_numpy(skimage.data.coffee().copy()).permute(2, 0, 1)
    pixels = skimage.data.coffee()[:256, :256].copy()
    rates = [coder.rate_parameters_at_width(code, 16) for code in (5_000, 30_000, 60_000)]
    own = coder.loaded_width(16)
    own.prior.freeze(own.table_gains())

    def sizes() -> list[int]:
        coder.loaded_width(16).__dict__.pop("tables", None)
        latents = coder.analyse(pixels)
        return [len(coder.compress(latents, rate)[0].data) for rate in rates]

    before = sizes()
    fit_prior(coder, 16, [picture], 12, seed=0)
    after = sizes()
    assert all(new < 0.97 * old for new, old in zip(after, before, strict=True))


# --- schedule ---


def curves(seed: int) -> dict[int, Curve]:
    """Narrow networks level off; pictures differ."""
    random = np.random.default_rng(seed)
    scatter = random.normal(0, 0.05, (5, 1))
    found = {}
    for width, ceiling, top in ((8, 31.0, 1.5), (16, 35.0, 2.4), (24, 60.0, 3.0)):
        log_bytes = 9 + top * LEVELS + scatter + random.normal(0, 0.02, (5, 1))
        ideal = 26 + 4.5 * (log_bytes - 9)
        psnr = ideal - np.logaddexp(0, ideal - ceiling) + random.normal(0, 0.05, (5, 1))
        found[width] = Curve(log_bytes, psnr)
    return found


WORK = {8: 1.0, 16: 4.0, 24: 9.0}


@examples(20)
@given(seed=st.integers(0, 1000))
def test_no_picture_steps_back_at_a_switch(seed: int) -> None:
    measured = curves(seed)
    rows = find_schedule(measured, WORK).tolist()
    assert rows[0][0] == 0
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)
    used = zip(measured.values(), rows, strict=True)
    for (narrow, before), (wide, after) in pairwise(used):
        for there, here in zip(
            narrow.interpolate(before[2] / 65535), wide.interpolate(after[1] / 65535), strict=True
        ):
            assert np.all(here >= there)
    assert all(0 <= low <= high <= RATE_CODE_MAX for _, low, high in rows)


@examples(20)
@given(seed=st.integers(0, 1000))
def test_a_schedule_does_half_of_the_widest_network_s_work(seed: int) -> None:
    """What there is left to do it is not given away; where narrow networks level off, they are left."""
    schedule = find_schedule(curves(seed), WORK)
    assert 0.4 * WORK[24] <= mean_work(schedule, WORK) <= 0.5 * WORK[24]
    narrow = curves(seed)[8]
    bits, quality = (
        float(v.mean()) for v in narrow.interpolate(int(schedule[0, 2]) / RATE_CODE_MAX)
    )
    widest = curves(seed)[24]
    needed = np.interp(quality, widest.psnr.mean(0), widest.log_bytes.mean(0))
    assert bits - needed < 0.25


def test_files_of_one_size_at_every_level_still_have_a_schedule() -> None:
    """As those of a model that has hardly been trained."""
    same = np.full((5, len(LEVELS)), 9.0)
    flat = {width: Curve(same, same + 20) for width in WORK}
    rows = find_schedule(flat, WORK).tolist()
    assert rows[0][0] == 0
    assert all(0 <= value <= RATE_CODE_MAX for row in rows for value in row)


def test_an_even_schedule_keeps_the_trade_off() -> None:
    rows = even_schedule((0.5, 0.8, 1.0)).tolist()
    assert [row[0] for row in rows] == [0, 21845, 43690]
    for (_, low, high), reach, first in zip(rows, (0.5, 0.8, 1.0), (0, 1 / 3, 2 / 3), strict=True):
        assert low * reach / RATE_CODE_MAX == pytest.approx(first, abs=1e-4)
        assert high * reach / RATE_CODE_MAX == pytest.approx(first + 1 / 3, abs=1e-4)
