"""Regions of interest: boxes, polygons and masks, as words and on the grid of a quality map."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

import vrcodec
from tests.conftest import Pixels
from tests.map_strategies import sides
from vrcodec.bitstream.quality_map import MAP_STRIDE, QualityMap
from vrcodec.errors import UsageError
from vrcodec.maps.levels import cell_means
from vrcodec.maps.regions import RegionOfInterest, RegionWords, Surroundings, map_from_regions
from vrcodec.maps.shapes import Box, Mask, Polygon, feather

coordinates = st.integers(-50, 350)


def polygon(*points: tuple[float, float]) -> Polygon:
    return Polygon(np.array(points, float))


def make_map(*regions: str, background: float = 0.0, size: tuple[int, int] = (100, 100)) -> list:
    read = [RegionWords.parse(text).read() for text in regions]
    return map_from_regions(read, Surroundings(background), *size).cells.tolist()


# --- shapes ---


def test_a_box_covers_every_cell_that_it_touches() -> None:
    regions = [
        RegionOfInterest(Box(15, 0, 2, 1), 1.0),
        RegionOfInterest(Box(32, 32, 500, 500), 0.4),
        RegionOfInterest(Box(-5, 38, 5.5, 1), 0.8),
    ]
    cells = map_from_regions(regions, Surroundings(0.0), 50, 50).cells
    expected = np.zeros((4, 4))
    expected[0, :2], expected[2:, 2:], expected[2, 0] = 255, 102, 204
    assert (cells == expected).all()


@given(sides, sides, coordinates, coordinates, st.integers(1, 300), st.integers(1, 300))
def test_a_polygon_covers_the_pixels_inside(
    width: int, height: int, x: int, y: int, box_width: int, box_height: int
) -> None:
    right, bottom = x + box_width, y + box_height
    pixels = np.zeros((height, width))
    pixels[max(0, y) : max(0, bottom), max(0, x) : max(0, right)] = 1
    found = polygon((x, y), (right, y), (right, bottom), (x, bottom)).coverage(width, height)
    assert found == pytest.approx(cell_means(pixels, width, height), abs=1e-9)


@given(st.lists(st.tuples(coordinates, coordinates), min_size=3, max_size=7))
def test_any_polygon_covers_what_pillow_fills(points: list[tuple[int, int]]) -> None:
    """But for pixels on its outline, which Pillow counts whole, and the last cells, which are smaller."""
    shape = polygon(*points)
    found = shape.coverage(300, 200)
    assert found.min() >= -1e-9
    assert found.max() <= 1 + 1e-9
    drawn, line = Image.new("L", (300, 200)), Image.new("L", (300, 200))
    ImageDraw.Draw(drawn).polygon(points, fill=1)
    ImageDraw.Draw(line).line([*points, points[0]], fill=1, width=3)
    certain = np.asarray(line) == 0
    filled = np.asarray(drawn).astype(float)
    low = cell_means(filled * certain, 300, 200)
    high = cell_means(np.maximum(filled, ~certain), 300, 200)
    assert (found >= low - 1e-9).all()
    assert (found <= high + 1e-9).all()


def test_a_polygon_has_soft_edges() -> None:
    triangle = polygon((0, 0), (32, 32), (0, 32)).coverage(32, 32)
    assert triangle == pytest.approx(np.array([[0.5, 0], [1, 0.5]]), abs=1e-9)
    assert make_map("0,0,32,32,0,32:1", size=(32, 32)) == [[128, 0], [255, 128]]


def test_a_mask_of_any_size_fits_unless_it_lies_on_its_side() -> None:
    mask = Mask(np.pad(np.ones((25, 33)), ((0, 25), (0, 0))))
    assert mask.coverage(66, 100)[0].tolist() == [1] * 5
    assert mask.coverage(67, 100)[-1].tolist() == [0] * 5
    # Of a picture that was made smaller, with its sides rounded.
    assert Mask(np.ones((1500, 2000))).coverage(333, 250).min() == 1
    with pytest.raises(UsageError, match="33x50 does not fit the picture, which is 100x66"):
        mask.coverage(100, 66)


@pytest.mark.parametrize("pixels", [1, 32, 100, 1024])
def test_a_feather_leads_down_from_a_region(pixels: float) -> None:
    covered = np.zeros((9, 12))
    covered[4, 3] = 1
    found = feather(covered, pixels)
    row = found[4, 3:]
    assert found[4, 3] == 1
    assert row == pytest.approx((1 - MAP_STRIDE * np.arange(9) / (pixels + MAP_STRIDE)).clip(0, 1))
    assert found[:, 3] == pytest.approx(found[::-1, 3])
    assert (found >= covered).all()


def test_later_regions_lie_on_top() -> None:
    assert make_map("0,0,96,32:1", "32,0,32,32:0.2", size=(96, 32)) == [[255, 51, 255]]
    assert make_map("32,0,32,32:0", background=1, size=(96, 32)) == [[255, 0, 255]]


@pytest.mark.parametrize(
    "text",
    ["100,0,5,5", "0,0,0,5", "0,0,-5,5", "300,0,400,0,400,100", "5,5,5,5,5,5"],
)
def test_regions_that_cover_nothing(text: str) -> None:
    with pytest.raises(UsageError, match=f"{text} lies outside the picture of 100x100"):
        make_map(text)


# --- words ---


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1,2,3",
        "1,2,3,4,5",
        "1,2,3,4,5,6,7",
        "a,b,c,d",
        "1,,2,3",
        "1.2.3,4,5,6",
        "9" * 40 + ",1,1,1",
    ],
)
def test_regions_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="is not a region"):
        RegionWords.parse(text).read()


@pytest.mark.parametrize("level", ["1.1", "-0.1", "e", "1e9", "..", "+-1"])
def test_levels_that_are_none(level: str) -> None:
    with pytest.raises(UsageError, match="level"):
        RegionWords.parse(f"0,0,5,5:{level}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,2,3,4", ("1,2,3,4", None, 0.5)),
        ("-1, 2, 3, 4:.25", ("-1, 2, 3, 4", None, 0.25)),
        ("labels.json", (Path("labels.json"), None, 0.5)),
        ("a/labels.json#traffic light:0.9", (Path("a/labels.json"), "traffic light", 0.9)),
        ("C:\\a#1.json#17", (Path("C:\\a#1.json"), "17", 0.5)),
        ("labels.png#ff0000:1", (Path("labels.png"), "ff0000", 1.0)),
    ],
)
def test_regions_as_words(text: str, expected: tuple) -> None:
    assert RegionWords.parse(text, 0.5) == expected


@pytest.mark.parametrize(
    "text", ["0,0,64,0,64,64", "0 0 64 0 64 64", "0,0 64,0 64,64", "0.0,0;64,0;64.0,64"]
)
def test_points_as_tools_separate_them(text: str) -> None:
    shape = RegionWords.parse(text).read().shape
    assert isinstance(shape, Polygon)
    assert shape.points.tolist() == [[0, 0], [64, 0], [64, 64]]


# --- from Python ---


@pytest.mark.parametrize("roi", ["0,0,64,64:1", ["0,0,64,64:1"]])
def test_regions_from_python(photograph: Pixels, roi: str | Sequence[str]) -> None:
    data = vrcodec.encode(photograph, model="qmap", roi=roi, roi_background=0.2, lossless="never")
    levels = vrcodec.quality_map(data)
    assert levels.shape == QualityMap.grid_shape(*photograph.shape[1::-1])
    assert levels[0, 2:6] == pytest.approx([1, 1, 0.2, 0.2], abs=1 / 255)
    soft = vrcodec.encode(
        photograph, model="qmap", roi=roi, roi_background=0.2, roi_feather=32, lossless="never"
    )
    assert vrcodec.quality_map(soft)[0, 2:7] == pytest.approx([1, 1, 0.73, 0.47, 0.2], abs=0.01)


@pytest.mark.parametrize(
    "given",
    [
        {"roi": "0,0,9,9", "qmap": [[0.1, 0.9]]},
        {"roi": "0,0,9,9", "bin_size": 1.0},
        {"roi": "0,0,9,9", "roi_background": 1.5},
        {"roi": "0,0,9,9", "roi_feather": -1},
        {"roi": "0,0,9,9", "roi_feather": 1e9},
    ],
)
def test_what_does_not_go_with_regions(photograph: Pixels, given: dict) -> None:
    with pytest.raises(UsageError):
        vrcodec.encode(photograph, model="qmap", **given)
