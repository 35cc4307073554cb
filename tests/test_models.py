"""The model: its two faces agree, the rate acts as promised, strips are invisible."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from conformance.reference.container import RefusedError
from conformance.reference.networks import Weights
from tests.conftest import GOLDEN, Pixels
from vrcodec.bitstream import schema
from vrcodec.bitstream.information_content import record_bits
from vrcodec.bitstream.tables import TOTAL
from vrcodec.catalog import find_by_family, weights_description, weights_id
from vrcodec.codec import Encoder
from vrcodec.engine import Engine
from vrcodec.errors import WeightsError
from vrcodec.models import FAMILIES, Gained, Qmap
from vrcodec.models.coding.entropy import scale_index
from vrcodec.models.device import torch_backend
from vrcodec.models.learning.likelihoods import gaussian_likelihood
from vrcodec.models.learning.passes import run
from vrcodec.models.learning.trainable import attach_training, load_state, place_trainable
from vrcodec.models.networks.backbone import BackboneSize
from vrcodec.models.networks.gains import interpolate_knots
from vrcodec.models.networks.layers import Depthwise
from vrcodec.models.networks.module import initialised
from vrcodec.models.trade_off import rate_to_lambda
from vrcodec.models.weights import pack_model, unpack_model
from vrcodec.regions.grid import LatentGrid
from vrcodec.regions.tiling import Tiling
from vrcodec.training.klt import initialise_from_klt, principal_components
from vrcodec.training.objectives import rate_distortion_loss

SMALL = BackboneSize(channels=8, latent=12, hyper=4, blocks=1, prior=8)


def trained() -> Gained:
    """The frozen tiny model with its trainable density."""
    entry = find_by_family("gained")
    model = unpack_model(entry.path.read_bytes(), "tiny")
    assert isinstance(model, Gained)
    return model


def test_method_numbers_are_those_of_the_format() -> None:
    assert {family.method: name for name, family in FAMILIES.items()} == schema.METHODS


def test_likelihood_and_table_say_the_same() -> None:
    tables = trained().gaussian.tables()
    for index in range(0, len(tables), 7):
        row = tables.table(index)
        half = len(row) // 2 - 1
        symbols = torch.arange(-half, half + 1).float()
        log2_scale = torch.full_like(symbols, -3 + index * 3 / 16)
        assert round(float(scale_index(log2_scale)[0])) == index
        likelihood = gaussian_likelihood(symbols, log2_scale).numpy()
        table = row[:-1] / TOTAL
        cost = float(-(table * np.log2(likelihood)).sum())
        entropy = float(-(table * np.log2(table)).sum())
        assert cost == pytest.approx(entropy, rel=2e-3, abs=2e-3)


def test_training_estimate_and_bytes_agree(photograph: Pixels) -> None:
    model = trained()
    attach_training(model)
    model.load_state_dict(load_state(find_by_family("gained").path), strict=False)
    model.eval()
    pixels = photograph[:128, :192]
    x = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255
    rate = torch.tensor([0.0])
    with torch.no_grad():
        out = run(model, x, rate)
    loss = rate_distortion_loss(x, out.x_hat, out.likelihoods, rate)
    estimated = float(loss.bpp[0]) * 128 * 192
    model.prepare(torch_backend("cpu", "float32"))
    with record_bits() as bits:
        streams = model.compress(model.analyse(pixels), model.rate_parameters(0))
    written = 8 * sum(len(stream.data) for stream in streams)
    assert written == pytest.approx(sum(bits), rel=0.005, abs=32)
    assert written == pytest.approx(estimated, rel=0.03)


@pytest.mark.parametrize("family", [Gained, Qmap])
def test_gradient_reaches_every_parameter(family: type[Gained]) -> None:
    torch.manual_seed(0)
    model = family(SMALL)
    attach_training(model)
    # The last layers of the branches start at zero, which stops the gradient of those before them.
    for parameter in model.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.1)
    rate = torch.rand(2, 1, 6, 4) if model.takes_quality_map else torch.tensor([0.1, 0.9])
    x = torch.rand(2, 3, 96, 64)
    out = run(model, x, rate)
    loss = rate_distortion_loss(x, out.x_hat, out.likelihoods, rate)
    loss.total.backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name


def test_lambda_spans_the_promised_range() -> None:
    lam = rate_to_lambda(torch.tensor([0.0, 0.5, 1.0]))
    assert lam.tolist() == pytest.approx([0.0006, 0.012, 0.24], rel=1e-5)


def test_loss_is_the_formula() -> None:
    x, x_hat = torch.zeros(1, 3, 16, 16), torch.full((1, 3, 16, 16), 0.1)
    likelihoods = {"y": torch.full((1, 4), 0.5), "z": torch.full((1, 2), 0.25)}
    loss = rate_distortion_loss(x, x_hat, likelihoods, torch.tensor([0.5]))
    bpp = (4 + 4) / 256
    assert float(loss.bpp[0]) == pytest.approx(bpp)
    expected = (bpp + 0.012 * 255**2 * 0.01) / (0.012 / 0.0006) ** 0.5
    assert float(loss.total) == pytest.approx(expected, rel=1e-5)


def test_loss_weighs_every_place_by_its_own_level() -> None:
    x, x_hat = torch.zeros(2, 3, 32, 16), torch.zeros(2, 3, 32, 16)
    x_hat[:, :, :16] = 0.1
    likelihoods = {"y": torch.full((2, 4), 0.5)}
    maps = torch.tensor([[[[0.9], [0.1]]], [[[0.5], [0.5]]]])
    loss = rate_distortion_loss(x, x_hat, likelihoods, maps)
    bpp = 4 / (32 * 16)
    lam = rate_to_lambda(torch.tensor([0.9, 0.5]))
    each = (bpp + 255**2 * lam * 0.01 / 2) / (0.012 / 0.0006) ** 0.5
    assert float(loss.total) == pytest.approx(float(each.mean()), rel=1e-4)
    uniform = rate_distortion_loss(
        x[1:], x_hat[1:], {"y": torch.full((1, 4), 0.5)}, torch.tensor([0.5])
    )
    assert float(uniform.total) == pytest.approx(float(each[1]), rel=1e-4)


def test_uniform_maps_are_rates(photograph: Pixels) -> None:
    """Of a model whose gains and transforms follow its levels, one sample at a time."""
    torch.manual_seed(0)
    model = Qmap(SMALL)
    attach_training(model)
    for parameter in model.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.1)
    model.eval()
    x = torch.from_numpy(photograph[:128, :192].copy()).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        scalar = run(model, x, torch.tensor([0.3]))
        mapped = run(model, x, torch.full((1, 1, 8, 12), 0.3))
    assert torch.allclose(scalar.x_hat, mapped.x_hat, atol=1e-4)


def test_interpolation_meets_the_knots_and_is_exponential_between() -> None:
    knots = torch.log(torch.tensor([[1.0], [4.0], [9.0]], dtype=torch.float64))
    rates = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0], dtype=torch.float64)
    gains = interpolate_knots(knots, rates).exp()[:, 0]
    assert gains.tolist() == pytest.approx([1, 2, 4, 6, 9])


@pytest.mark.parametrize("factor", [1, 2])
def test_depthwise_in_float64_is_the_same_convolution(factor: int) -> None:
    with initialised(0):
        layer = Depthwise(5, factor)
    place_trainable(layer, "cpu")
    x = torch.randn(2, 5, 3, 7)
    expected = layer(x)
    found = layer.map(torch.Tensor.double)(x.double()).float()
    assert torch.allclose(found, expected, atol=1e-5)


def test_rate_parameters_depend_on_the_code_alone() -> None:
    model = trained()
    model.prepare(torch_backend())
    state = model.rate_parameters(40_000)
    gain = state.gains.gain
    assert gain.dtype == torch.float64
    torch.set_default_dtype(torch.float64)
    try:
        again = model.rate_parameters(40_000)
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(gain, again.gains.gain)
    assert not torch.equal(gain, model.rate_parameters(40_001).gains.gain)


@pytest.mark.parametrize("side", [1, 2, 5])
def test_tiles_give_the_whole(photograph: Pixels, side: int) -> None:
    engine = Engine("cpu", "float32")
    whole = Encoder("gained", engine).model
    y = whole.analyse(photograph).y
    tiled = Encoder("gained", Engine("cpu", "float32", Tiling(side=side))).model
    assert torch.allclose(tiled.analyse(photograph).y, y, atol=1e-4)


@pytest.mark.parametrize(
    ("width", "height", "blocks"), [(1, 1, 1), (1024, 1024, 1), (1025, 1, 2), (3000, 2000, 6)]
)
def test_grid_covers_the_latents_once(width: int, height: int, blocks: int) -> None:
    grid = LatentGrid.of_picture(width, height)
    covered = np.zeros((grid.height, grid.width), int)
    hyper = np.zeros((grid.hyper_height, grid.hyper_width), int)
    for block in grid.blocks():
        covered[block.top : block.bottom, block.left : block.right] += 1
        z = block.hyper()
        hyper[z.top : z.bottom, z.left : z.right] += 1
    assert (covered == 1).all()
    assert (hyper == 1).all()
    assert grid.block_count == len(grid.blocks()) == blocks


def test_weights_file_round_trip_and_damage() -> None:
    data = pack_model(trained())
    assert pack_model(unpack_model(data, "copy")) == data
    assert len(weights_id(data)) == 8
    for damaged in (b"", data[:100], b"\xff" * 64, data[:-50]):
        with pytest.raises(WeightsError, match="tiny"):
            unpack_model(damaged, "tiny")


def test_weights_of_a_later_version_are_refused() -> None:
    data = (GOLDEN / "gained.safetensors").read_bytes()
    later = data.replace(b"blocks", b"floors", 1)
    assert weights_description(later)["size"].keys() - weights_description(data)["size"].keys()
    with pytest.raises(WeightsError, match="floors"):
        unpack_model(later, "later")
    with pytest.raises(RefusedError, match="later version"):
        Weights(later)


def test_klt_start_reconstructs_like_the_transform(photograph: Pixels) -> None:
    picture = torch.from_numpy(photograph[:144, :192].copy()).permute(2, 0, 1)
    basis, deviations = principal_components([picture], seed=0)
    model = Gained(BackboneSize(channels=200, latent=320, hyper=4, blocks=1, prior=8))
    attach_training(model)
    initialise_from_klt(model, basis, deviations)
    x = picture[None].float() / 255 - 0.5
    with torch.no_grad():
        x_hat = model.synthesis_net(model.analysis_net(x))
    patches = x.unfold(2, 16, 16).unfold(3, 16, 16).permute(0, 2, 3, 1, 4, 5).reshape(-1, 768)
    used = basis[:, :320].float()
    lost = (patches - patches @ used @ used.T).square().mean()
    assert float((x_hat - x).square().mean()) == pytest.approx(float(lost), rel=1e-2)
