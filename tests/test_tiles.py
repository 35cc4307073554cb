"""Files and pictures are the same whatever the tiles that a large picture is coded in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import assert_same_pixels, needs_torch
from tests.extent import examples
from tests.large_picture import (
    FAMILIES,
    FLOAT32,
    SIDES,
    data,
    decoder,
    encoded,
    pixels,
    whole,
)
from vrcodec.codec import Decoder, Encoder
from vrcodec.engine import Engine
from vrcodec.extras import is_installed
from vrcodec.picture.picture import Picture
from vrcodec.regions.tiling import Tiling


@pytest.mark.parametrize("kind", [*FAMILIES, "map"])
@pytest.mark.parametrize("side", [19, 64])
def test_the_file_is_the_same_whatever_the_tiles(kind: str, side: int) -> None:
    tiled = encoded(kind, Tiling(side=side))
    if is_installed("torch"):
        assert tiled == data(kind)
    # The sums of a product of matrices depend on where a row lies in it, and so may the rounding of a latent.
    assert len(tiled) == pytest.approx(len(data(kind)), rel=0.01)
    difference = decoder().decode(tiled).pixels.astype(int) - whole(kind).pixels
    assert np.abs(difference).mean() < 0.05


@pytest.mark.parametrize("kind", [*FAMILIES, "map"])
@pytest.mark.parametrize("side", [19, 50])
def test_the_picture_is_the_same_whatever_the_tiles(kind: str, side: int) -> None:
    tiled = Decoder(Engine("cpu", "float32", Tiling(side=side))).decode(data(kind))
    assert_same_pixels(tiled.pixels, whole(kind).pixels)


@needs_torch
@pytest.mark.parametrize("kind", FAMILIES)
def test_tiles_differ_by_a_step_at_most_in_bfloat16(kind: str) -> None:
    tiles = [Tiling(), Tiling(side=19)]
    one, other = (Decoder(Engine("cpu", "bfloat16", t)).decode(data(kind)) for t in tiles)
    assert np.abs(one.pixels.astype(int) - other.pixels).max() <= 1


@examples(40)
@given(
    st.integers(1, 200), st.integers(1, 200), SIDES, st.sampled_from(FAMILIES), st.integers(0, 9)
)
def test_pictures_of_any_size_in_tiles_of_any_size(
    width: int, height: int, side: int | None, family: str, shift: int
) -> None:
    part = np.ascontiguousarray(pixels()[shift : shift + height, shift : shift + width])
    engine = Engine("cpu", "float32", Tiling(side=side))
    encoder = Encoder(family, engine)
    plain = Encoder(family, FLOAT32).encode(Picture.from_array(part), 30_000)
    differences = Decoder(engine).decode(plain).pixels.astype(int) - decoder().decode(plain).pixels
    if encoder.model.backend.kernels.name == "torch":
        assert encoder.encode(Picture.from_array(part), 30_000) == plain
        assert not differences.any()
    # The sums of a product of matrices depend on how many rows it has.
    assert np.abs(differences).max() <= 1


@given(
    st.integers(1, 1 << 18),
    st.integers(1, 1 << 18),
    st.one_of(st.none(), st.integers(0, 1 << 34)),
    st.sampled_from([16, 64]),
)
def test_tiles_cover_everything_once_and_keep_to_their_size(
    height: int, width: int, memory: int | None, stride: int
) -> None:
    tiling = Tiling(memory)
    most = tiling.max_units(stride)
    rows, columns = tiling.tile_shape((height, width), stride)
    assert 1 <= rows <= height
    assert 1 <= columns <= width
    assert rows * columns <= most
    # Neither dimension alone is cut into slivers.
    assert rows == height or columns == width or min(rows, columns) ** 2 * 8 >= min(most, 64)


def test_less_memory_means_smaller_tiles() -> None:
    sizes = [Tiling(memory).max_units(16) for memory in (0, 720 * 10**6, 10**9, 4 * 10**9)]
    assert sizes[0] < sizes[1] < sizes[2] == sizes[3] == Tiling().max_units(16)
