"""Quality maps from levels: arrays, pictures and files, and how the rate moves them."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.map_strategies import Cells, cell_arrays, level_maps, sides
from vrcodec.bitstream.quality_map import COARSE_STRIDE, MAP_STRIDE, QualityMap
from vrcodec.errors import InputError, LimitError
from vrcodec.limits import DEFAULT_LIMITS, Limits
from vrcodec.maps.levels import check_levels, map_from_levels, read_levels
from vrcodec.rate import RATE_CODE_MAX


@given(st.floats(0, 1), sides, sides, st.integers(1, 50), st.integers(1, 50))
def test_a_flat_map_is_flat_on_any_grid(
    level: float, width: int, height: int, rows: int, columns: int
) -> None:
    found = map_from_levels(np.full((rows, columns), level), width, height)
    assert found.uniform
    assert found.mean_level == pytest.approx(level, abs=0.51 / 255)


@given(level_maps, sides, sides)
def test_a_grids_mean_is_the_maps(levels: npt.NDArray[np.float64], width: int, height: int) -> None:
    """Each cell counts as much as the pixels that it covers."""
    found = map_from_levels(levels, width, height)
    assert found.cells.shape == QualityMap.grid_shape(width, height, found.stride)
    share = [
        np.diff(np.minimum(np.arange(cells + 1) * found.stride, pixels)) / pixels
        for cells, pixels in zip(found.cells.shape, (height, width), strict=True)
    ]
    grids = [QualityMap.grid_shape(width, height, side) for side in (MAP_STRIDE, COARSE_STRIDE)]
    if levels.shape in grids:
        return
    mean = share[0] @ (found.cells / 255) @ share[1]
    # Where levels were many, small cells have them in 17 steps.
    coarser = found.stride == MAP_STRIDE and not (found.cells % 15).any()
    assert mean == pytest.approx(levels.mean(), abs=0.51 / (17 if coarser else 255))


@given(cell_arrays, st.integers(0, RATE_CODE_MAX))
def test_a_moved_map_keeps_its_shape_and_has_the_rate_as_its_mean(cells: Cells, code: int) -> None:
    moved = QualityMap(cells).levels(code)
    assert moved.min() >= 0
    assert moved.max() <= 1
    mean = moved.mean()
    assert code / RATE_CODE_MAX - 1 / 65280 <= mean <= code / RATE_CODE_MAX + 1e-9
    offsets = (moved - cells / 255)[(moved > 0) & (moved < 1)]
    assert not offsets.size or np.ptp(offsets) < 1e-12


@given(cell_arrays, st.lists(st.integers(0, RATE_CODE_MAX), min_size=2, max_size=2).map(sorted))
def test_no_level_falls_as_the_rate_rises(cells: Cells, codes: list[int]) -> None:
    low, high = (QualityMap(cells).levels(code) for code in codes)
    assert (low <= high).all()


@pytest.mark.parametrize(("bits", "inverted"), [(12, False), (16, False), (16, True)])
def test_maps_of_more_than_8_bits(tmp_path: Path, bits: int, inverted: bool) -> None:
    maxval = (1 << bits) - 1
    samples = np.linspace(0, maxval, 64).astype(np.uint16).reshape(8, 8)
    levels = samples / maxval
    path = tmp_path / "map.tif"
    if bits == 16:
        tags = {262: 0 if inverted else 1}
        Image.fromarray(samples).save(path, tiffinfo=tags)
    else:
        pairs = samples.reshape(-1, 2).astype(int)
        packed = [[a >> 4, (a & 15) << 4 | b >> 8, b & 255] for a, b in pairs]
        write_tiff(path, 8, 8, 12, inverted, bytes(np.array(packed, np.uint8)))
    assert np.allclose(read_levels(path, DEFAULT_LIMITS), 1 - levels if inverted else levels)


def test_maps_of_floating_point_numbers(tmp_path: Path) -> None:
    levels = np.linspace(0, 1, 64).astype(np.float32).reshape(8, 8)
    Image.fromarray(levels).save(tmp_path / "map.tif")
    assert np.allclose(read_levels(tmp_path / "map.tif", DEFAULT_LIMITS), levels)
    Image.fromarray(levels * 255).save(tmp_path / "map.tif")
    with pytest.raises(InputError, match="between 0 and 1"):
        read_levels(tmp_path / "map.tif", DEFAULT_LIMITS)


def write_tiff(path: Path, width: int, height: int, bits: int, inverted: bool, data: bytes) -> None:
    """A TIFF file of grey samples in one strip."""
    tags = [(256, width), (257, height), (258, bits), (259, 1), (262, 0 if inverted else 1)]
    tags += [(273, 8), (277, 1), (278, height), (279, len(data))]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    head = b"II*\0" + struct.pack("<I", 8 + len(data))
    path.write_bytes(head + data + struct.pack("<H", len(tags)) + entries + bytes(4))


def test_maps_from_files(tmp_path: Path) -> None:
    ramp = np.linspace(0, 255, 64).astype(np.uint8) * np.ones((32, 1), np.uint8)
    Image.fromarray(ramp).save(tmp_path / "map.png")
    np.save(tmp_path / "map.npy", ramp / 255)
    from_picture, from_array = (
        map_from_levels(read_levels(tmp_path / name, DEFAULT_LIMITS), 200, 100)
        for name in ("map.png", "map.npy")
    )
    assert (from_picture.cells == from_array.cells).all()
    assert (np.diff(from_array.cells[0].astype(int)) > 0).all()


def test_sixteen_bit_maps_keep_their_levels(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 32768, 65535]], np.uint16)).save(tmp_path / "map.png")
    levels = read_levels(tmp_path / "map.png", DEFAULT_LIMITS)
    assert levels[0].tolist() == pytest.approx([0, 0.5, 1], abs=1e-4)


def test_a_mask_is_turned_upright_and_black_where_it_is_transparent(tmp_path: Path) -> None:
    white = np.full((32, 64, 2), 255, np.uint8)
    white[:, 32:, 1] = 0
    exif = Image.Exif()
    exif[0x0112] = 6  # To be turned clockwise.
    Image.fromarray(white).save(tmp_path / "map.png", exif=exif)
    cells = map_from_levels(read_levels(tmp_path / "map.png", DEFAULT_LIMITS), 32, 64).cells
    assert cells.tolist() == [[255], [0]]


def test_a_mask_of_another_size_keeps_soft_edges(tmp_path: Path) -> None:
    """Half of the pictures' size, and its edge in the middle of a cell."""
    mask = np.zeros((16, 24), np.uint8)
    mask[:, :10], mask[:, 10:12] = 255, 128
    Image.fromarray(mask).save(tmp_path / "map.png")
    cells = map_from_levels(read_levels(tmp_path / "map.png", DEFAULT_LIMITS), 48, 32).cells
    assert cells.tolist() == [[255, round((2 * 255 + 2 * 128) / 8), 0]] * 2


@given(level_maps, sides, sides)
def test_a_map_as_it_is_in_a_file_stays_so(
    levels: npt.NDArray[np.float64], width: int, height: int
) -> None:
    """In 17 steps where its levels are many; cells of one size come from those of another unharmed."""
    found = map_from_levels(levels, width, height)
    again = map_from_levels(found.cells / 255, width, height)
    assert again.stride == found.stride or found.cells.size == 1
    assert (again.cells == found.cells).all()
    if found.stride == MAP_STRIDE and len(np.unique(found.cells)) > 16:
        assert not (found.cells % 15).any()


@pytest.mark.parametrize(
    "values",
    [[[1.01]], [[-0.01]], [[float("nan")]], [0.5], [[[0.5]]], [[]], [["a"]], [[1 + 1j]]],
)
def test_arrays_that_are_no_maps(values: object) -> None:
    with pytest.raises(InputError, match="quality map"):
        check_levels(values, "map")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["map.npy", "map.png"])
@pytest.mark.parametrize("content", [b"", b"garbage", b"\x93NUMPY", b"\x89PNG\r\n\x1a\n"])
def test_files_that_are_no_maps(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=name):
        read_levels(tmp_path / name, DEFAULT_LIMITS)


def test_a_map_that_promises_too_much(tmp_path: Path) -> None:
    """Before its memory is taken: more values than the file has, or more than the limit allows."""
    np.save(tmp_path / "map.npy", np.zeros((20, 20)))
    data = (tmp_path / "map.npy").read_bytes()
    with pytest.raises(LimitError, match="--max-pixels"):
        read_levels(tmp_path / "map.npy", Limits(max_pixels=300))
    forged = data.replace(b"(20, 20), }      ", b"(99999, 999999), }")
    assert len(forged) > len(data)
    (tmp_path / "map.npy").write_bytes(forged)
    with pytest.raises(InputError, match=r"map\.npy"):
        read_levels(tmp_path / "map.npy", DEFAULT_LIMITS)
