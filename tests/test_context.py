"""The regulator and the parallel context model, apart from any picture."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from vrcodec.models.learning.likelihoods import gaussian_likelihood
from vrcodec.models.learning.trainable import place_trainable
from vrcodec.models.networks.context import ParallelContext, Pick
from vrcodec.models.networks.regulator import Regulator, dequantise, quantise

FEATURES, WIDTH = 6, 8
GROUPS = (1, 2, 4)


def context() -> ParallelContext:
    """With weights large enough for everything to matter."""
    torch.manual_seed(0)
    model = ParallelContext(FEATURES, GROUPS, WIDTH)
    place_trainable(model, "cpu")
    model.map(torch.Tensor.double)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    return model


class Steps:
    """An exchange that returns the samples of y, and keeps what it was told."""

    def __init__(self, y: Tensor) -> None:
        self.y = y
        self.seen: list[tuple[Tensor, Tensor]] = []
        self.positions: list[Tensor] = []

    def __call__(self, mean: Tensor, log2_scale: Tensor, pick: Pick) -> Tensor:
        self.seen.append((mean, log2_scale))
        places = torch.arange(self.y.numel(), dtype=torch.float64).reshape(self.y.shape)
        self.positions.append(pick(places).flatten().long())
        return pick(self.y)


def coded(y: Tensor, features: Tensor, rate: float = 0.3) -> Steps:
    steps = Steps(y)
    y_hat = context()(features, torch.tensor([rate], dtype=torch.float64), steps)
    assert torch.equal(y_hat, y)
    return steps


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 2), (2, 1), (3, 5), (8, 8)])
def test_every_sample_is_coded_once_in_few_steps(height: int, width: int) -> None:
    y = torch.randn(1, sum(GROUPS), height, width, dtype=torch.float64)
    features = torch.randn(1, FEATURES, height, width, dtype=torch.float64)
    steps = coded(y, features)
    assert len(steps.seen) <= 2 * len(GROUPS)
    order = torch.cat(steps.positions)
    assert sorted(order.tolist()) == list(range(y.numel()))
    for (mean, log2_scale), positions in zip(steps.seen, steps.positions, strict=True):
        assert mean.shape == log2_scale.shape
        assert mean.numel() == len(positions)


def test_a_step_knows_nothing_of_what_comes_later() -> None:
    """And does know what came before: else it would be no context."""
    y = torch.randn(1, sum(GROUPS), 6, 7, dtype=torch.float64)
    features = torch.randn(1, FEATURES, 6, 7, dtype=torch.float64)
    reference = coded(y, features)
    for changed, positions in enumerate(reference.positions):
        other = y.flatten().clone()
        other[positions] += torch.randn(len(positions), dtype=torch.float64)
        again = coded(other.reshape(y.shape), features)
        same = [
            torch.equal(a[0], b[0]) and torch.equal(a[1], b[1])
            for a, b in zip(reference.seen, again.seen, strict=True)
        ]
        assert all(same[: changed + 1])
        assert not any(same[changed + 1 :])


def test_the_rate_is_known() -> None:
    y = torch.randn(1, sum(GROUPS), 3, 3, dtype=torch.float64)
    features = torch.randn(1, FEATURES, 3, 3, dtype=torch.float64)
    low, high = (coded(y, features, rate).seen for rate in (0.1, 0.9))
    assert not any(torch.equal(a[0], b[0]) for a, b in zip(low, high, strict=True))


RATES = torch.linspace(0, 1, 101, dtype=torch.float64)


def test_the_step_shrinks_as_the_rate_rises() -> None:
    regulator = Regulator()
    place_trainable(regulator, "cpu")
    nn.init.normal_(regulator.rises, std=3.0)
    log2_a = regulator.log2_scale(RATES).flatten()
    assert (log2_a.diff() > 0).all()


@given(st.floats(-3, 3), st.floats(-5, 5))
def test_quantise_and_dequantise(log2_a: float, mean: float) -> None:
    step = torch.tensor(log2_a, dtype=torch.float64)
    y = torch.linspace(-9, 9, 201, dtype=torch.float64)
    symbols = quantise(y, mean, step).round()
    error = (dequantise(symbols, mean, step) - y).abs().max()
    assert float(error) <= 0.5 * 2**-log2_a + 1e-9


class ScaleHyperprior(nn.Module):
    """Balle et al. 2018: no means, |y| into the hyper-analysis; linear, as small as can be."""

    def __init__(self) -> None:
        super().__init__()
        self.analysis = nn.Conv2d(3, 8, 4, stride=4)
        self.synthesis = nn.ConvTranspose2d(8, 3, 4, stride=4)
        self.hyper_analysis = nn.Conv2d(8, 4, 2, stride=2)
        self.hyper_synthesis = nn.ConvTranspose2d(4, 8, 2, stride=2)
        self.regulator = Regulator()
        place_trainable(self.regulator, "cpu")

    def forward(self, x: Tensor, rate: Tensor) -> tuple[Tensor, Tensor]:
        """(bits of y for each sample, x_hat)."""
        y = self.analysis(x)
        log2_scale = self.hyper_synthesis(self.hyper_analysis(y.abs()).round())
        log2_a = self.regulator.log2_scale(rate)
        symbols = quantise(y, 0.0, log2_a).round()
        likelihood = gaussian_likelihood(symbols, log2_scale + log2_a)
        bits = -torch.log2(likelihood).flatten(1).sum(1)
        return bits, self.synthesis(dequantise(symbols, 0.0, log2_a))


def test_the_regulator_fits_a_scale_hyperprior() -> None:
    """Without another network run: bits rise and the error falls with the rate alone."""
    torch.manual_seed(1)
    model = ScaleHyperprior().requires_grad_(False)
    # A transform that can be undone, so that quantisation is the only loss.
    basis = torch.linalg.qr(torch.randn(48, 8))[0].T.reshape(8, 3, 4, 4)
    model.analysis.weight.copy_(4 * basis)
    model.synthesis.weight.copy_(basis / 4)
    for layer in (model.analysis, model.synthesis):
        assert layer.bias is not None
        layer.bias.zero_()
    x = torch.randn(1, 3, 64, 64)
    kept = model.synthesis(model.analysis(x))
    rates = torch.linspace(0, 1, 11)
    rows = [model(x, rate.reshape(1)) for rate in rates]
    bits = torch.stack([bits[0] for bits, _ in rows])
    errors = torch.stack([(x_hat - kept).square().mean() for _, x_hat in rows])
    assert (bits.diff() > 0).all()
    assert (errors.diff() < 0).all()
