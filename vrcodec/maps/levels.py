"""Quality maps from users: pictures and arrays of levels, and their grid of cells.

A level lies in [0, 1], as a rate does. A map with as many values as the picture has cells of 16 x 16 or of
32 x 32 pixels is used as it is; one of any other size is stretched over the picture, and each cell of 16 x 16
gets the mean of the values over it.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from vrcodec.bitstream.container import parse_container
from vrcodec.bitstream.inspection import parse_supported_setting
from vrcodec.bitstream.quality_map import COARSE_STRIDE, MAP_STRIDE, Cells, QualityMap
from vrcodec.bitstream.schema import METHOD_LOSSLESS
from vrcodec.errors import InputError, UsageError
from vrcodec.limits import Limits
from vrcodec.picture.intake.depth import find_maxval, is_inverted
from vrcodec.picture.intake.file_header import read_file_header
from vrcodec.picture.reading import open_image
from vrcodec.rate import rate_from_code

Levels = npt.NDArray[np.float64]
# Of an array of levels: float64, or rounded for display.
Level = TypeVar("Level", bound=np.generic)

STEPS = 255
# A map of small cells with more than so many different levels has them in coarser steps: finer ones are of no
# use, and make it two to three times as large.
_FEW_LEVELS = 16
_COARSE_STEPS = 17
_STEPS_16_BIT = 65535


def read_levels(path: Path, limits: Limits) -> Levels:
    """A map from a picture or an .npy file of numbers in [0, 1].

    Of a picture, white is 1; black, and what is transparent, is 0; one of floating point numbers has levels
    themselves. It is turned upright, as pictures are.
    Raises InputError or LimitError.
    """
    try:
        levels = _read_array(path, limits) if path.suffix == ".npy" else _read_image(path, limits)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    return check_levels(levels, str(path))


def check_levels(values: npt.ArrayLike, name: str) -> Levels:
    """``values`` as levels (rows, columns). Raises InputError unless they are numbers in 0 .. 1."""
    try:
        levels = np.asarray(values)
    except ValueError:
        raise InputError(f"{name}: the rows of a quality map are of one length") from None
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
        upright = ImageOps.exif_transpose(image)
        if upright.mode == "F":
            # Levels already, as those of an array.
            return np.asarray(upright)
        if upright.mode == "I":
            # Of a PPM, scaled by Pillow; of other files no others would lie in range.
            return np.asarray(upright) / _STEPS_16_BIT
        if upright.mode.startswith("I;"):
            maxval = find_maxval(image, read_file_header(file, str(path)))
            levels = np.asarray(upright) / maxval
            return 1 - levels if is_inverted(image) else levels
        if upright.has_transparency_data:
            # Editors leave out what is not selected: whatever colour lies beneath, it is black.
            grey, alpha = upright.convert("LA").split()
            return np.asarray(grey) / STEPS * (np.asarray(alpha) / STEPS)
        return np.asarray(upright.convert("L")) / STEPS


def map_from_levels(levels: Levels, width: int, height: int) -> QualityMap:
    """The quality map for a picture of ``width`` x ``height`` from ``levels`` of any size."""
    if levels.shape == QualityMap.grid_shape(width, height, COARSE_STRIDE):
        return QualityMap(_in_steps(levels, STEPS), COARSE_STRIDE)
    already_on_grid = levels.shape == QualityMap.grid_shape(width, height)
    return map_from_cells(levels if already_on_grid else cell_means(levels, width, height))


def map_from_cells(levels: Levels) -> QualityMap:
    """The quality map of ``levels``, one for each 16 x 16 pixels; of larger cells where that is the same."""
    cells = _in_steps(levels, STEPS)
    factor = COARSE_STRIDE // MAP_STRIDE
    coarse = np.ascontiguousarray(cells[::factor, ::factor])
    if (repeat_cells(coarse, factor, cells.shape) == cells).all():
        return QualityMap(coarse, COARSE_STRIDE)
    if len(np.unique(cells)) > _FEW_LEVELS:
        cells = _in_steps(levels, _COARSE_STEPS) * np.uint8(STEPS // _COARSE_STEPS)
    return QualityMap(cells)


def _in_steps(levels: Levels, steps: int) -> Cells:
    # Means of equal levels differ in their last bits, which must not decide how halves are rounded.
    return np.rint(np.round(levels * steps, 6)).clip(0, steps).astype(np.uint8)


def repeat_cells(
    cells: npt.NDArray[Level], factor: int, shape: tuple[int, ...]
) -> npt.NDArray[Level]:
    """Each of ``cells`` ``factor`` times in both directions, up to (rows, columns) of ``shape``."""
    return cells.repeat(factor, axis=0).repeat(factor, axis=1)[: shape[0], : shape[1]]


def cell_means(values: Levels, width: int, height: int) -> Levels:
    """Means of ``values``, stretched over a picture of ``width`` x ``height``, in each of its cells."""
    return _means_along(_means_along(values, height).T, width).T


def _means_along(values: Levels, pixels: int) -> Levels:
    """Means along the first axis, stretched over ``pixels``, by cells of 16 pixels; the last may be smaller."""
    cells = -(-pixels // MAP_STRIDE)
    edges = np.minimum(np.arange(cells + 1) * MAP_STRIDE, pixels) * (len(values) / pixels)
    cumulative = np.concatenate((np.zeros((1, values.shape[1])), values.cumsum(axis=0)))
    left = np.minimum(edges.astype(int), len(values) - 1)
    fraction = (edges - left)[:, None]
    at_edges = cumulative[left] + fraction * values[left]
    means: Levels = np.diff(at_edges, axis=0) / np.diff(edges)[:, None]
    return means


def read_coded_levels(data: bytes, limits: Limits) -> Levels:
    """The levels that a file was coded with, one for each 16 x 16 pixels; without a map, its rate everywhere.

    Raises FormatError, CorruptError, LimitError, or UsageError for a file that has no rate.
    """
    container = parse_container(data, limits)
    header, setting = container.header, parse_supported_setting(container)
    if header.method == METHOD_LOSSLESS:
        raise UsageError("stored without loss: there is no rate, and no quality map")
    shape, qmap = QualityMap.grid_shape(header.width, header.height), setting.qmap
    if qmap is None:
        return np.full(shape, rate_from_code(setting.rate_code))
    return repeat_cells(qmap.levels(setting.rate_code), qmap.stride // MAP_STRIDE, shape)


def levels_per_pixel(
    levels: npt.NDArray[Level], width: int, height: int, stride: int = MAP_STRIDE
) -> npt.NDArray[Level]:
    """Levels of cells, squares of ``stride`` pixels, repeated for each pixel of a picture: (height, width)."""
    return repeat_cells(levels, stride, (height, width))


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
        Image.fromarray(np.rint(levels * STEPS).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()
