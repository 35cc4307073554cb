"""Training of the slimmable family: where it starts, and what it minimises."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.conftest import GOLDEN, Pixels
from tests.slimmable import SIZE
from vrcodec.catalog import find_by_family
from vrcodec.codec import Encoder
from vrcodec.engine import Engine
from vrcodec.errors import WeightsError
from vrcodec.models import Gained, Slim
from vrcodec.models.coding import entropy
from vrcodec.models.learning.passes import Reconstruction, run, run_narrow
from vrcodec.models.learning.trainable import attach_training, load_hyperprior_model, load_trainable
from vrcodec.models.networks.backbone import BackboneSize
from vrcodec.models.networks.module import initialised
from vrcodec.rate import RATE_CODE_MAX
from vrcodec.training import objectives
from vrcodec.training.distributed import ProcessGroup
from vrcodec.training.export import export_model
from vrcodec.training.initialisation import initialise
from vrcodec.training.klt import initialise_from_klt, principal_components
from vrcodec.training.loop import Trainer
from vrcodec.training.objectives import SlimmableWidths, choose_objective, rate_distortion_loss
from vrcodec.training.recipes import Recipe
from vrcodec.training.width_transfer import initialise_from_wide


def new_model(size: BackboneSize = SIZE) -> Slim:
    with initialised(0):
        model = Slim(size)
        attach_training(model)
    return model


def crops(photograph: Pixels) -> Tensor:
    return torch.from_numpy(photograph[:128, :192].copy()).permute(2, 0, 1)[None].float() / 255


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
        y = run_narrow(model, own, "analysis_net", x - 0.5)
        gain, inverse = (
            torch.lerp(knots[4], knots[5], 0.9).exp()[:, None, None]
            for knots in (own.log_gain, own.log_inverse_gain)
        )
        found = run_narrow(model, own, "synthesis_net", y * gain * inverse)
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
            y = run_narrow(model, width, "analysis_net", x)
            back = run_narrow(model, width, "synthesis_net", y)
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
    assert isinstance(objective, SlimmableWidths)
    # Levels are drawn: a few steps meet all knots of the gains, and all middle widths.
    for _ in range(8):
        x = crops(photograph).repeat(4, 1, 1, 1)
        objective.loss(x, objective.draw_levels(len(x))).total.backward()
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
    rate = torch.tensor([0.3])
    found = choose_objective(model).loss(x, rate.unsqueeze(1))
    out = run(model, x, rate, 24)
    expected = rate_distortion_loss(x, out.x_hat, out.likelihoods, rate)
    assert float(found.total.detach()) == pytest.approx(float(expected.total.detach()))


def test_narrow_networks_learn_from_the_widest(
    photograph: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sum of the losses is lower the nearer their pictures are to that of the widest."""
    x = crops(photograph)
    size = replace(SIZE, widths=(8, 24), reach=(0.5, 1.0))

    def total(narrow: Tensor) -> float:
        def forward(_: Slim, __: Tensor, level: Tensor, width: int) -> Reconstruction:
            picture = x + 0.1 if width == 24 else narrow
            return Reconstruction(picture, {"y": torch.full((1, 4), 0.5)})

        model = new_model(size)
        torch.manual_seed(0)
        monkeypatch.setattr(objectives, "run", forward)
        return float(SlimmableWidths(model).loss(x, torch.full((len(x), 2), 0.5)).total)

    # Both are as far from the picture itself.
    assert total(x + 0.1) < total(x - 0.1)


def test_half_of_the_crops_are_where_the_schedule_uses_a_width(
    photograph: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = new_model()
    model.schedule[1, 1:] = torch.tensor([20000, 20001])
    x = crops(photograph).expand(64, -1, -1, -1)
    seen: dict[int, Tensor] = {}

    def forward(_: Slim, __: Tensor, level: Tensor, width: int) -> Reconstruction:
        seen[width] = level
        return Reconstruction(x, {"y": torch.full((64, 4), 0.5)})

    monkeypatch.setattr(objectives, "run", forward)
    torch.manual_seed(0)
    objective = SlimmableWidths(model)
    objective.loss(x, objective.draw_levels(64))
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
            out = run(model, x, torch.tensor([0.2]), width)
        estimated = float(-torch.log2(out.likelihoods["y"]).sum()) / 8
        # The coder knows more than the density: what is busy around a symbol.
        assert 0.75 * estimated < written < 1.02 * estimated + 8
