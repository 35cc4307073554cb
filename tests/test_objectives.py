"""What levels, and maps of them, a training step sees."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data
import torch
from hypothesis import given
from hypothesis import strategies as st

from vrcodec.catalog import find_by_family
from vrcodec.errors import UsageError
from vrcodec.models import Slim
from vrcodec.models.learning.trainable import load_trainable
from vrcodec.models.trade_off import LAMBDA_MIN, rate_to_lambda
from vrcodec.training.objectives import (
    _flat_areas,
    choose_objective,
    patch_loss,
    perceptual_loss,
    stratified_levels,
)
from vrcodec.training.random_maps import draw_maps


@pytest.mark.parametrize("count", [1, 3, 8])
def test_a_batch_spans_all_rates(count: int) -> None:
    torch.manual_seed(0)
    draws = torch.stack([stratified_levels(count) for _ in range(400)])
    parts = (draws * count).floor().sort(dim=1).values
    assert torch.equal(parts, torch.arange(count).float().expand_as(parts))
    # No place in the batch is bound to a part, and within a part all levels are as likely.
    assert torch.allclose(draws.mean(0), torch.full((count,), 0.5), atol=0.08)
    assert torch.allclose((draws * count).frac().mean(), torch.tensor(0.5), atol=0.05)


def test_widths_see_all_of_their_levels() -> None:
    """Levels of a width are within its range, of which 1 is the end."""
    torch.manual_seed(0)
    model = load_trainable(find_by_family("slim"))
    assert isinstance(model, Slim)
    objective = choose_objective(model)
    drawn = torch.cat([objective.draw_levels(8) for _ in range(100)])
    assert drawn.shape == (800, len(model.size.widths))
    for levels in drawn.unbind(1):
        assert float(levels.min()) >= 0
        assert float(levels.max()) <= 1
        assert float(levels.max()) > 0.9
        assert float(levels.min()) < 0.1


def test_random_maps_are_what_files_can_hold() -> None:
    torch.manual_seed(0)
    x = torch.rand(200, 3, 64, 96)
    bounds = torch.rand(200, 2)
    maps = draw_maps(x, bounds)
    assert maps.shape == (200, 1, 4, 6)
    steps = maps * 255
    assert torch.allclose(steps, steps.round(), atol=1e-3)
    low, high = bounds.amin(1), bounds.amax(1)
    assert (maps.amin((1, 2, 3)) >= low - 1 / 255).all()
    assert (maps.amax((1, 2, 3)) <= high + 1 / 255).all()
    uniform = float((maps.amax((1, 2, 3)) == maps.amin((1, 2, 3))).float().mean())
    assert 0.3 < uniform < 0.6
    # Uniform ones are the rates themselves: all of them.
    levels = maps[maps.amax((1, 2, 3)) == maps.amin((1, 2, 3))][:, 0, 0, 0]
    assert float(levels.min()) < 0.1
    assert float(levels.max()) > 0.9


def test_the_perceptual_loss_follows_the_score_and_the_rate() -> None:
    x = torch.from_numpy(skimage.data.astronaut()[:64, :64] / 255).permute(2, 0, 1).float()[None]
    likelihoods = {"y": torch.full((1, 64), 0.5)}

    def distortion(x_hat: torch.Tensor, rate: float) -> float:
        """The loss in bits per pixel, without those of the likelihoods."""
        level = torch.tensor([rate])
        loss = perceptual_loss(x, x_hat, likelihoods, level)
        assert float(loss.bpp) == pytest.approx(64 / 64**2)
        divisor = (rate_to_lambda(level) / LAMBDA_MIN).sqrt()
        return float(loss.total * divisor - loss.bpp)

    noise = 0.05 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    noisy, shifted = (x + noise).clamp(0, 1), (x + 0.05).clamp(0, 1)
    assert distortion(x, 0.5) == pytest.approx(0, abs=1e-6)
    # Noise of the energy of a shift is seen, the shift is not.
    assert distortion(noisy, 0.5) > 1.5 * distortion(shifted, 0.5) > 0
    assert distortion(noisy, 1.0) / distortion(noisy, 0.0) > 50


def test_flat_areas_are_held_to_their_colours() -> None:
    """A step of all pixels costs more where the picture is of one colour than where it is not."""
    flat = torch.full((1, 3, 64, 64), 1.0)
    noise = 0.5 + 0.1 * torch.rand(flat.shape, generator=torch.Generator().manual_seed(0))

    def cost(x: torch.Tensor) -> float:
        shifted = x - 2 / 255
        loss = perceptual_loss(x, shifted, {"y": torch.ones(1, 1)}, torch.tensor([0.5]))
        assert float(loss.mse) == pytest.approx((2 / 255) ** 2, rel=1e-3)
        return float(loss.total)

    assert cost(flat) > 1.3 * cost(noise) > 0
    # All but what is near a line.
    lined = flat.clone()
    lined[..., 32] = 0.1
    assert cost(noise) < cost(lined) < cost(flat)


@given(st.integers(0, 2**32 - 1), st.integers(17, 60), st.integers(17, 60), st.integers(0, 4))
def test_flat_areas_are_those_whose_squares_have_one_colour(
    seed: int, height: int, width: int, changes: int
) -> None:
    random = np.random.default_rng(seed)
    x = torch.full((2, 3, height, width), 0.5)
    for _ in range(changes):
        batch, channel, row, column = random.integers((2, 3, height, width))
        rows = slice(row, row + 1 if random.random() < 0.5 else None)
        x[batch, channel, rows, column:] += 1 / 255
    highest = torch.nn.functional.max_pool2d(x, 17, 1, 8)
    lowest = -torch.nn.functional.max_pool2d(-x, 17, 1, 8)
    expected = (highest == lowest).all(1, keepdim=True).float()
    assert torch.equal(_flat_areas(x), expected)


@pytest.mark.parametrize("family", ["gained", "qvrf", "qmap", "slim", "qarv"])
def test_patches_teach_every_family(family: str) -> None:
    """What a family makes of the corner of a pure colour has a loss, and gradients in all of its synthesis."""
    model = load_trainable(find_by_family(family, "psnr")).train()
    blue = torch.zeros(2, 3, 64, 64)
    blue[:, 2] = 1
    loss = patch_loss(model, blue, torch.tensor([0.3, 0.3]))
    loss.backward()  # type: ignore[no-untyped-call]
    assert float(loss.detach()) > 0
    gradients = [p.grad for p in model.synthesis_net.parameters() if p.grad is not None]
    assert gradients
    assert all(bool(gradient.isfinite().all()) for gradient in gradients)


@pytest.mark.parametrize("family", ["slim", "qmap"])
def test_families_without_uniform_rates_are_trained_for_psnr(family: str) -> None:
    model = load_trainable(find_by_family(family))
    with pytest.raises(UsageError, match="PSNR"):
        choose_objective(model, "ssimulacra2")
