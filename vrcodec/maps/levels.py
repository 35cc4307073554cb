"""Quality maps from users: pictures and arrays of levels, regions of interest, and their grid of cells.

A level lies in [0, 1], as a rate does. A map with as many values as the picture's grid has cells, one for
each 32 x 32 pixels, is used unchanged; one of any other size is stretched over the picture, and each cell gets
the mean of the values over it.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from vrcodec.bitstream.container import parse_container
from vrcodec.bitstream.quality_map import MAP_STRIDE, QualityMap
from vrcodec.bitstream.rate_setting import parse_rate_setting
from vrcodec.bitstream.schema import METHOD_LOSSLESS
from vrcodec.errors import InputError, UsageError
from vrcodec.limits import Limits
from vrcodec.picture.reading import open_image
from vrcodec.rate import rate_from_code

Levels = npt.NDArray[np.float64]
# Of an array of levels: float64, or rounded for display.
Level = TypeVar("Level", bound=np.generic)

_STEPS = 255
_STEPS_16_BIT = 65535


@dataclass(frozen=True)
class RegionOfInterest:
    """A rectangle in pixels and its level; what lies outside the picture is cut off."""

    x: int
    y: int
    width: int
    height: int
    level: float

    @staticmethod
    def parse(text: str, level: float) -> RegionOfInterest:
        """Parse X,Y,W,H or X,Y,W,H:Q. ``level``: that of X,Y,W,H alone. Raises UsageError."""
        match = re.fullmatch(
            r"(-?\d+),(-?\d+),(\d+),(\d+)(?::([\d.eE+-]+))?", text.replace(" ", "")
        )
        if not match:
            raise UsageError(
                f"{text!r} is not a region such as 100,50,320,240 or 100,50,320,240:0.9"
            )
        x, y, width, height = map(int, match.groups()[:4])
        try:
            region_level = float(match[5]) if match[5] else level
        except ValueError:
            raise UsageError(f"{match[5]!r} in {text!r} is not a level") from None
        if not 0 <= region_level <= 1:
            raise UsageError(
                f"a level must lie between 0 and 1, and {region_level:g} in {text!r} does not"
            )
        if not width or not height:
            raise UsageError(f"the region {text!r} is empty")
        return RegionOfInterest(x, y, width, height, region_level)


def read_levels(path: Path, limits: Limits) -> Levels:
    """A map from a picture (white is 1) or an .npy file of numbers in [0, 1].

    Raises InputError or LimitError.
    """
    try:
        levels = _read_array(path, limits) if path.suffix == ".npy" else _read_image(path, limits)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    return check_levels(levels, str(path))


def check_levels(values: npt.ArrayLike, name: str) -> Levels:
    """``values`` as levels (rows, columns). Raises InputError unless they are numbers in 0 .. 1."""
    levels = np.asarray(values)
    if levels.ndim != 2 or not levels.size or levels.dtype.kind not in "fiub":
        raise InputError(f"{name}: a quality map is a two-dimensional array of numbers")
    levels = levels.astype(np.float64)
    # NaN fails the comparison, as well.
    if not bool(((levels >= 0) & (levels <= 1)).all()):
        raise InputError(f"{name}: the levels of a quality map must lie between 0 and 1")
    return levels


def _read_array(path: Path, limits: Limits) -> npt.NDArray[np.generic]:
    try:
        # Memory-mapped, so that the limits are checked before memory is allocated.
        array: npt.NDArray[np.generic] = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError:
        raise
    except Exception as error:
        # A damaged header can make NumPy's parser raise anything.
        raise InputError(f"{path}: not an array in .npy format") from error
    if not isinstance(array, np.ndarray):
        raise InputError(f"{path}: several arrays, not one in .npy format")
    if array.ndim == 2:
        limits.check_picture(str(path), *array.shape[::-1])
    return array


def _read_image(path: Path, limits: Limits) -> Levels:
    with path.open("rb") as file, open_image(file, str(path), limits) as image:
        if image.mode.startswith("I"):
            return np.asarray(image) / _STEPS_16_BIT
        return np.asarray(image.convert("L")) / _STEPS


def map_from_levels(levels: Levels, width: int, height: int) -> QualityMap:
    """The quality map for a picture of ``width`` x ``height`` from ``levels`` of any size."""
    already_on_grid = levels.shape == QualityMap.grid_shape(width, height)
    means = levels if already_on_grid else _cell_means(_cell_means(levels, height).T, width).T
    # Means of equal levels differ in their last bits, which must not decide how halves are rounded.
    steps = np.rint(np.round(means * _STEPS, 6))
    return QualityMap(steps.clip(0, _STEPS).astype(np.uint8))


def _cell_means(values: Levels, pixels: int) -> Levels:
    """Means along the first axis, stretched over ``pixels``, by cells of 32 pixels; the last may be smaller."""
    cells = -(-pixels // MAP_STRIDE)
    edges = np.minimum(np.arange(cells + 1) * MAP_STRIDE, pixels) * (len(values) / pixels)
    cumulative = np.concatenate((np.zeros((1, values.shape[1])), values.cumsum(axis=0)))
    left = np.minimum(edges.astype(int), len(values) - 1)
    fraction = (edges - left)[:, None]
    at_edges = cumulative[left] + fraction * values[left]
    means: Levels = np.diff(at_edges, axis=0) / np.diff(edges)[:, None]
    return means


def map_from_regions(
    regions: Sequence[RegionOfInterest], background: float, width: int, height: int
) -> QualityMap:
    """The map in which every cell that a region touches has its level; later regions overrule earlier ones.

    Raises UsageError for a region outside the picture.
    """
    cells = np.full(QualityMap.grid_shape(width, height), round(background * _STEPS), np.uint8)
    for region in regions:
        left, top = max(0, region.x), max(0, region.y)
        right, bottom = min(width, region.x + region.width), min(height, region.y + region.height)
        if left >= right or top >= bottom:
            raise UsageError(
                f"the region at {region.x},{region.y} lies outside the picture of {width}x{height}"
            )
        rows = slice(top // MAP_STRIDE, -(-bottom // MAP_STRIDE))
        columns = slice(left // MAP_STRIDE, -(-right // MAP_STRIDE))
        cells[rows, columns] = round(region.level * _STEPS)
    return QualityMap(cells)


def read_coded_levels(data: bytes, limits: Limits) -> Levels:
    """The levels that a file was coded with, one for each cell; without a map, its rate everywhere.

    Raises FormatError, CorruptError, LimitError, or UsageError for a file that has no rate.
    """
    container = parse_container(data, limits)
    header, setting = container.header, parse_rate_setting(container)
    if header.method == METHOD_LOSSLESS:
        raise UsageError("stored without loss: there is no rate, and no quality map")
    if setting.qmap is None:
        rate = rate_from_code(setting.rate_code)
        return np.full(QualityMap.grid_shape(header.width, header.height), rate)
    return setting.qmap.levels(setting.rate_code)


def levels_per_pixel(levels: npt.NDArray[Level], width: int, height: int) -> npt.NDArray[Level]:
    """Levels of cells, repeated for each pixel of a picture: (height, width)."""
    columns = levels.repeat(MAP_STRIDE, axis=1)[:, :width]
    return columns.repeat(MAP_STRIDE, axis=0)[:height]


def check_map_suffix(path: Path) -> None:
    """Raise UsageError unless `build_map_file` knows the suffix of ``path``."""
    if path.suffix not in (".png", ".npy"):
        raise UsageError(f"{path}: a map is written as .png or .npy")


def build_map_file(levels: Levels, path: Path) -> bytes:
    """The bytes of a map as an .npy file or as a grey .png, by the suffix of ``path``. Raises UsageError."""
    check_map_suffix(path)
    file = io.BytesIO()
    if path.suffix == ".npy":
        np.save(file, levels.astype(np.float32))
    else:
        Image.fromarray(np.rint(levels * _STEPS).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()
