"""MS-SSIM by NumPy and PyTorch: the scores of the package, in strips, and gradients that a search can use."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data
import torch
from pytorch_msssim import ms_ssim

from tests.conftest import Pixels
from vrcodec.metrics.structural import MIN_SIDE, measure_ms_ssim, ms_ssim_score

# Sides that halve evenly four times, for the package puts zeros beside an odd one; the last is the smallest.
PICTURES = {
    "astronaut": skimage.data.astronaut()[:384, :512],
    "face": skimage.data.astronaut()[20:228, 120:328],
    "coffee": skimage.data.coffee()[:176, :592],
    "page": np.stack([skimage.data.page()[:176, :384]] * 3, axis=-1),
}
ODD = skimage.data.coffee()[100 : 100 + MIN_SIDE, 200:411]


def worsened(picture: Pixels, amount: int) -> Pixels:
    noise = np.random.default_rng(0).integers(-amount, amount + 1, picture.shape)
    return np.clip(picture // 2 * 2 + noise, 0, 255).astype(np.uint8)


def as_batch(pixels: Pixels) -> Pixels:
    return pixels.transpose(2, 0, 1)[None].copy()


def as_tensor(pixels: Pixels) -> torch.Tensor:
    return torch.from_numpy(as_batch(pixels))


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("amount", [1, 12, 100])
def test_scores_are_those_of_the_package(name: str, amount: int) -> None:
    picture, worse = PICTURES[name], worsened(PICTURES[name], amount)
    tensors = as_tensor(picture), as_tensor(worse)
    expected = float(ms_ssim(*(t.double() for t in tensors), data_range=255))
    assert measure_ms_ssim(*tensors) == pytest.approx(expected, abs=1e-5)
    assert measure_ms_ssim(as_batch(picture), as_batch(worse)) == pytest.approx(expected, abs=1e-5)


def test_odd_sides() -> None:
    """Near the package, whose zeros are beside both pictures."""
    worse = worsened(ODD, 12)
    expected = float(ms_ssim(as_tensor(ODD).float(), as_tensor(worse).float(), data_range=255))
    assert measure_ms_ssim(as_batch(ODD), as_batch(worse)) == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("pixels", [1, 3000, 1 << 17])
@pytest.mark.parametrize("picture", [ODD, PICTURES["face"]], ids=["odd", "even"])
def test_measured_in_strips(picture: Pixels, pixels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Strips of two rows at the least, by either library."""
    monkeypatch.setattr("vrcodec.metrics.strips._PIXELS", pixels)
    pictures = picture, worsened(picture, 12)
    expected = float(ms_ssim_score(*(as_tensor(p).float() / 255 for p in pictures)))
    assert measure_ms_ssim(*map(as_batch, pictures)) == pytest.approx(expected, abs=1e-6)
    assert measure_ms_ssim(*map(as_tensor, pictures)) == pytest.approx(expected, abs=1e-6)


def test_pictures_of_a_batch_are_judged_one_by_one() -> None:
    x = as_tensor(ODD).float() / 255
    worse = as_tensor(worsened(ODD, 12)).float() / 255
    both = ms_ssim_score(torch.cat((x, x)), torch.cat((x, worse)))
    assert both.tolist() == pytest.approx([1, float(ms_ssim_score(x, worse))])


@pytest.mark.parametrize("decoded", ["equal", "inverted", "black", "white", "outside"])
def test_gradients_are_finite(decoded: str) -> None:
    """Also where no structure is left of the original, or the opposite of it."""
    x = as_tensor(ODD).float() / 255
    levels = {"black": 0.0, "white": 1.0, "outside": 1.7}
    y = {"equal": x, "inverted": 1 - x}.get(decoded, torch.full_like(x, levels.get(decoded, 0.0)))
    y = y.clone().requires_grad_()
    score = ms_ssim_score(x, y)
    score.sum().backward()
    assert 0 <= float(score.detach()) <= 1 + 1e-6
    assert y.grad is not None
    assert y.grad.isfinite().all()
