"""`vrcodec bench --maps`: files with quality maps beside files with one rate."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Pixels
from vrcodec.bench.map_comparison import SHAPES, compare_maps, weighted_psnr
from vrcodec.codec import Decoder, Encoder
from vrcodec.metrics import psnr
from vrcodec.picture.picture import Picture

Run = Callable[..., int]


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_run_from_worst_to_best(name: str) -> None:
    levels = SHAPES[name](90, 60)
    assert levels.shape == (60, 90)
    assert levels.min() == pytest.approx(0, abs=0.03)
    assert levels.max() == pytest.approx(1, abs=0.03)
    best = np.unravel_index(levels.argmax(), levels.shape)
    places = {"to the right": best[1] == 89, "to the bottom": best[0] == 59}
    places["in the middle"] = best in [(29, 44), (29, 45), (30, 44), (30, 45)]
    assert places[name.removeprefix("better ")]


def test_equal_weights_give_the_psnr(photograph: Pixels) -> None:
    picture = Picture.from_array(photograph)
    noise = np.random.default_rng(0).integers(-9, 9, photograph.shape)
    other = Picture.from_array((photograph + noise).clip(0, 255).astype(np.uint8))
    flat = np.full(photograph.shape[:2], 0.1)
    assert weighted_psnr(picture, other, flat) == pytest.approx(psnr(picture.pixels, other.pixels))
    left = np.zeros_like(flat)
    left[:, :20] = 3
    expected = psnr(picture.pixels[:, :20], other.pixels[:, :20])
    assert weighted_psnr(picture, other, left) == pytest.approx(expected)


def test_maps_beside_rates(photograph: Pixels) -> None:
    pictures = [Picture.from_array(photograph)]
    results = compare_maps(Encoder("qmap"), Decoder(), pictures, (0.3, 0.5, 0.7))
    assert [result.shape for result in results] == list(SHAPES)
    for result in results:
        assert [point.rate for point in result.points] == [0.3, 0.5, 0.7]
        assert result.bd_rate is not None
        sizes = [point.mapped_bpp for point in result.points]
        assert sizes == sorted(sizes)
    # The files without a map are the same ones for all shapes.
    assert len({result.points[0].plain_bpp for result in results}) == 1
    assert len({result.points[0].mapped_bpp for result in results}) > 1


def test_the_command(run: Run, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--maps", "--models", "qmap", "--rates", "0.3,0.6", "--quick")
    assert run("bench", folder, *arguments) == 0
    shown = capsys.readouterr().out
    assert shown.count("BD-rate") == len(SHAPES)
    assert "qmap, better to the right" in shown


def test_all_is_the_models_that_take_maps(
    run: Run, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("bench", folder / "grey.png", "--maps", "--models", "all", "--rates", "0.5") == 0
    assert capsys.readouterr().out.count("qmap, better") == len(SHAPES)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--models", "gained"),
        ("--models", "qmap", "--bpps", "0.5"),
        ("--models", "qmap", "--json", "a.json"),
        ("--models", "qmap", "--json", "-"),
        ("--models", "qmap", "--profile"),
    ],
)
def test_what_does_not_go_with_maps(run: Run, folder: Path, arguments: tuple[str, ...]) -> None:
    assert run("bench", folder, "--maps", *arguments) == 2
