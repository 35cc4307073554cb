"""Metrics against values that are known, and at their edges."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from tests.conftest import Pixels
from vrcodec.errors import UsageError
from vrcodec.metrics import (
    MAX_DECIBELS,
    METRICS,
    as_decibels,
    capped_psnr,
    choose_metrics,
    haarpsi,
    ms_ssim,
    psnr,
    ssimulacra2,
)


def noisy(pixels: Pixels, amount: int) -> Pixels:
    random = np.random.default_rng(0)
    noise = random.integers(-amount, amount + 1, pixels.shape)
    return np.clip(pixels.astype(int) + noise, 0, 255).astype(np.uint8)


def test_psnr_of_a_known_error() -> None:
    black, grey = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 16, np.uint8)
    assert psnr(black, grey) == pytest.approx(20 * np.log10(255 / 16))
    assert capped_psnr(black, black) == MAX_DECIBELS


@pytest.mark.parametrize("name", METRICS)
def test_more_noise_is_worse(name: str) -> None:
    import skimage.data

    picture = skimage.data.astronaut()[:180, :180]
    values = [METRICS[name].compute(picture, noisy(picture, amount)) for amount in (2, 8, 32)]
    assert None not in values
    assert values == sorted(values, reverse=True)
    assert len(set(values)) == 3


def test_of_equal_pictures() -> None:
    import skimage.data

    picture = skimage.data.astronaut()[:180, :180]
    assert ms_ssim(picture, picture) == pytest.approx(1)
    assert ssimulacra2(picture, picture) == 100
    assert haarpsi(picture, picture) == pytest.approx(1, abs=1e-5)


def test_small_pictures_have_only_psnr() -> None:
    dot = np.zeros((5, 5, 3), np.uint8)
    assert ms_ssim(dot, dot) is None
    assert ssimulacra2(dot, dot) is None
    assert haarpsi(dot, dot) is None


def test_decibels() -> None:
    assert as_decibels(0.99) == pytest.approx(20)
    assert as_decibels(1.0) == MAX_DECIBELS


def test_choosing() -> None:
    assert [m.name for m in choose_metrics(["ssimulacra2", "psnr"])] == ["psnr", "ssimulacra2"]
    with pytest.raises(UsageError, match="there are: psnr"):
        choose_metrics(["lpips"])


def test_a_metric_whose_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vrcodec.extras.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="pip install"):
        choose_metrics(["haarpsi"])


def test_ssimulacra2_is_that_of_its_package() -> None:
    import skimage.data
    from ssimulacra2 import compute_ssimulacra2

    # Narrow, high, and wider than the blocks in which it is computed.
    for picture in (skimage.data.coffee()[:300, :530], skimage.data.chelsea()[:, :40]):
        for amount in (1, 12):
            worse = noisy(picture, amount)
            found, expected = (
                ssimulacra2(picture, worse),
                compute_ssimulacra2(*map(as_png, (picture, worse))),
            )
            assert found == pytest.approx(expected, abs=0.2)


def as_png(pixels: Pixels) -> io.BytesIO:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer
