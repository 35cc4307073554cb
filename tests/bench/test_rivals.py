"""The other codecs are measured as themselves: colours kept, more quality for more bytes."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest

from tests.conftest import Pixels
from vrcodec.bench.codecs import subsample
from vrcodec.bench.rivals import GROUPS, RIVALS, choose_rivals
from vrcodec.errors import UsageError
from vrcodec.metrics import psnr
from vrcodec.picture.picture import Picture


@pytest.mark.parametrize("name", RIVALS)
def test_round_trip(name: str, photograph: Pixels) -> None:
    rival = RIVALS[name]
    if rival.library() is None:
        pytest.skip("its library is not installed")
    picture = Picture.from_array(photograph)
    low, high = (rival.encode(picture, point) for point in (rival.points[1], rival.points[-1]))
    coarse, fine = rival.decode(low), rival.decode(high)
    assert len(low) < len(high)
    assert coarse.pixels.shape == fine.pixels.shape == photograph.shape
    assert psnr(photograph, coarse.pixels) < psnr(photograph, fine.pixels)
    assert psnr(photograph, fine.pixels) > 33
    assert rival.library() in rival.settings


@pytest.mark.parametrize("name", RIVALS)
def test_grey(name: str, photograph: Pixels) -> None:
    rival = RIVALS[name]
    if rival.library() is None:
        pytest.skip("its library is not installed")
    picture = Picture.from_array(photograph[:, :, 1])
    decoded = rival.decode(rival.encode(picture, rival.points[-1]))
    assert psnr(picture.pixels, decoded.pixels) > 33


def test_colour_is_transformed_before_jpeg_2000() -> None:
    """Without it, JPEG 2000 pays for each channel by itself, and looks worse than it is."""
    random = np.random.default_rng(1)
    grey = random.integers(0, 256, (128, 128, 1)).astype(np.uint8)
    colour = Picture.from_array(np.repeat(grey, 3, axis=2))
    decoded = RIVALS["jp2k"].decode(RIVALS["jp2k"].encode(colour, 2.6))
    alone = Picture.from_array(grey[:, :, 0])
    of_grey = RIVALS["jp2k"].decode(RIVALS["jp2k"].encode(alone, 2.6))
    assert psnr(colour.pixels, decoded.pixels) > psnr(alone.pixels, of_grey.pixels) - 1


def test_rivals_travel_between_processes() -> None:
    rival = replace(RIVALS["webp"], points=(1.0, 90.0))
    assert pickle.loads(pickle.dumps(rival)) == rival


def test_choosing() -> None:
    assert [r.name for r in choose_rivals(["jpeg", "webp"])[0]] == [*GROUPS["jpeg"], "webp"]
    assert choose_rivals(["none"]) == ([], [])
    with pytest.raises(UsageError, match="gif"):
        choose_rivals(["gif"])


def test_a_missing_library_is_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = replace(RIVALS["jxl"], library=lambda: None)
    monkeypatch.setitem(RIVALS, "jxl", missing)
    rivals, words = choose_rivals(["jxl", "webp"])
    assert [r.name for r in rivals] == ["webp"]
    assert "JPEG XL" in words[0]
    assert "pip install" in words[0]


def test_thinning_keeps_the_ends() -> None:
    assert subsample(range(10), 3) == (0, 4, 9)
    assert subsample((1.0, 2.0), 5) == (1.0, 2.0)
