"""Quality maps in the file, and what becomes of the picture."""

from __future__ import annotations

import zlib
from functools import partial

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

import vrcodec
from tests.conftest import GOLDEN, Pixels, needs_torch, random_map, with_chunks
from tests.extent import examples
from tests.map_strategies import Cells, cell_arrays, level_maps, sides
from vrcodec.bitstream import schema
from vrcodec.bitstream.container import parse_container
from vrcodec.bitstream.quality_map import (
    COARSE_STRIDE,
    MAP_STRIDE,
    QualityMap,
    build_map,
    parse_map,
)
from vrcodec.bitstream.rate_setting import RateSetting, parse_rate_setting
from vrcodec.codec import Decoder, Encoder
from vrcodec.engine import Engine
from vrcodec.errors import CorruptError, UsageError
from vrcodec.maps.levels import map_from_levels
from vrcodec.maps.regions import RegionOfInterest, Surroundings, map_from_regions
from vrcodec.maps.shapes import Box
from vrcodec.metrics import psnr
from vrcodec.picture.picture import Picture
from vrcodec.rate import RATE_CODE_MAX
from vrcodec.regions.tiling import Tiling
from vrcodec.search.rate_control import encode_to_target
from vrcodec.search.target import BYTES_TOLERANCE, Target


@pytest.fixture
def encoder() -> Encoder:
    return Encoder("qmap")


with_maps = partial(with_chunks, schema.CHUNK_FINE_QMAP)
with_coarse_maps = partial(with_chunks, schema.CHUNK_QMAP)
strides = st.sampled_from([MAP_STRIDE, COARSE_STRIDE])


# --- in the file ---


@given(
    cell_arrays,
    st.integers(1, MAP_STRIDE),
    st.integers(1, MAP_STRIDE),
    strides,
    st.sampled_from([1, 3, 5, 255]),
)
def test_payload_round_trip(
    cells: Cells, right: int, bottom: int, stride: int, divisor: int
) -> None:
    """For every picture that has this grid."""
    cells = cells // divisor * divisor
    rows, columns = cells.shape
    width, height = (columns - 1) * stride + right, (rows - 1) * stride + bottom
    found = parse_map(build_map(QualityMap(cells, stride)), width, height, stride)
    assert (found.cells == cells).all()
    assert found.stride == stride


def test_a_smooth_map_costs_little_and_a_random_one_hardly_more_than_itself() -> None:
    smooth = np.linspace(0, 255, 24).astype(np.uint8) * np.ones((16, 1), np.uint8)
    assert len(build_map(QualityMap(smooth))) < 40
    noise = np.random.default_rng(0).integers(0, 256, (16, 24), dtype=np.uint8)
    assert len(build_map(QualityMap(noise))) <= noise.size + 8


@given(st.binary(max_size=80), sides, sides, strides)
def test_any_bytes_are_a_map_or_refused(
    payload: bytes, width: int, height: int, stride: int
) -> None:
    try:
        found = parse_map(payload, width, height, stride)
    except CorruptError:
        return
    assert found.cells.shape == QualityMap.grid_shape(width, height, stride)


@pytest.mark.parametrize(("stride", "front"), [(MAP_STRIDE, b"\1"), (COARSE_STRIDE, b"")])
def test_a_bomb_is_not_unpacked(stride: int, front: bytes) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = front + packer.compress(bytes(1 << 26)) + packer.flush()
    with pytest.raises(CorruptError, match="not of the picture's size"):
        parse_map(bomb, 64, 64, stride)


@pytest.mark.parametrize("divisor", [0, 128, 255])
def test_levels_above_one_are_refused(divisor: int) -> None:
    content = build_map(QualityMap(np.array([[0, 2], [1, 0]], np.uint8)))[1:]
    with pytest.raises(CorruptError, match="above 1"):
        parse_map(bytes([divisor]) + content, 32, 32)


def test_a_map_without_detail_has_large_cells(encoder: Encoder, photograph: Pixels) -> None:
    """So that older versions read it, and it is smaller."""
    picture = Picture.from_array(photograph)
    for left, chunk_type in ((64, schema.CHUNK_QMAP), (80, schema.CHUNK_FINE_QMAP)):
        box = RegionOfInterest(Box(left, 32, 32, 64), 0.9)
        qmap = map_from_regions([box], Surroundings(0.2), picture.width, picture.height)
        data = encoder.encode(picture, RateSetting.from_rate(None, qmap))
        types = {chunk.type for chunk in parse_container(data).chunks}
        assert types & {schema.CHUNK_QMAP, schema.CHUNK_FINE_QMAP} == {chunk_type}
        levels = vrcodec.quality_map(data)
        assert levels[2:6, left // 16 : left // 16 + 2] == pytest.approx(0.9, abs=1 / 255)
        assert levels.sum() == pytest.approx(0.2 * levels.size + 8 * 0.7, abs=levels.size / 255)


def test_of_two_maps_neither_is_taken(
    encoder: Encoder, decoder: Decoder, photograph: Pixels
) -> None:
    picture = Picture.from_array(photograph)
    data = encoder.encode(picture, RateSetting.from_rate(None, random_map(picture)))
    grid = QualityMap.grid_shape(picture.width, picture.height, COARSE_STRIDE)
    both = with_coarse_maps(
        data, build_map(QualityMap(np.eye(*grid, dtype=np.uint8), COARSE_STRIDE))
    )
    for use in (decoder.decode, vrcodec.inspect, vrcodec.quality_map):
        with pytest.raises(CorruptError, match="two quality maps"):
            use(both)


def test_a_map_that_is_uniform_takes_no_room(encoder: Encoder, photograph: Pixels) -> None:
    picture = Picture.from_array(photograph)
    grid = QualityMap.grid_shape(picture.width, picture.height)
    uniform = QualityMap(np.full(grid, 51, np.uint8))
    assert encoder.encode(picture, RateSetting.from_rate(None, uniform)) == encoder.encode(
        picture, RateSetting.from_rate(0.2)
    )


def test_at_the_ends_of_the_rate_a_map_takes_no_room(
    encoder: Encoder, decoder: Decoder, photograph: Pixels
) -> None:
    """All its levels are cut off there; a file that has one all the same decodes to the same."""
    picture = Picture.from_array(photograph)
    qmap = random_map(picture)
    for code in (0, RATE_CODE_MAX):
        data = encoder.encode(picture, RateSetting(code, qmap=qmap))
        assert data == encoder.encode(picture, code)
        other = decoder.decode(with_maps(data, build_map(qmap)))
        assert (other.pixels == decoder.decode(data).pixels).all()


def test_hostile_chunks(encoder: Encoder, decoder: Decoder, photograph: Pixels) -> None:
    picture = Picture.from_array(photograph)
    qmap = random_map(picture)
    data = encoder.encode(picture, RateSetting.from_rate(None, qmap))
    good = build_map(qmap)
    smaller = build_map(QualityMap(qmap.cells[1:]))
    for payloads in [
        (b"",),
        (good[:-1],),
        (good + b"\0",),
        (smaller,),
        (good, good),
        (b"\xff" * 9,),
    ]:
        for use in (decoder.decode, vrcodec.inspect, vrcodec.quality_map):
            with pytest.raises(CorruptError, match="quality map"):
                use(with_maps(data, *payloads))


def test_another_map_than_the_encoders_is_noticed(
    encoder: Encoder, decoder: Decoder, photograph: Pixels
) -> None:
    """The map scales what tables are chosen from: the symbols' checksum does not fit."""
    picture = Picture.from_array(photograph)
    data = encoder.encode(picture, RateSetting.from_rate(None, random_map(picture)))
    for other in (with_maps(data), with_maps(data, build_map(random_map(picture, 1)))):
        with pytest.raises(CorruptError):
            decoder.decode(other)


def test_families_without_maps_say_so(photograph: Pixels) -> None:
    for model in ("gained", "qvrf"):
        with pytest.raises(UsageError, match=f"{model} takes no quality map"):
            vrcodec.encode(photograph, qmap=[[0.1, 0.9]], model=model)
        with pytest.raises(UsageError, match=f"{model} takes no quality map"):
            vrcodec.encode(photograph, qmap=[[0.5]], model=model)
    with pytest.raises(UsageError, match="a bin size goes without a map"):
        vrcodec.encode(photograph, qmap=[[0.1, 0.9]], bin_size=1.0, model="qmap")


# --- round trips ---


@examples(40)
@given(level_maps, sides, sides, st.one_of(st.none(), st.floats(0, 1)), st.booleans())
def test_any_map_on_any_picture(
    levels: npt.NDArray[np.float64], width: int, height: int, rate: float | None, grey: bool
) -> None:
    """Sizes come back, and both sides use the map that `quality_map` shows."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (height, width) if grey else (height, width, 3), dtype=np.uint8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VRCODEC_WEIGHTS", str(GOLDEN))
        data = vrcodec.encode(pixels, rate, qmap=levels, model="qmap", lossless="never")
        assert np.asarray(vrcodec.decode(data)).shape == pixels.shape
    qmap = map_from_levels(levels, width, height)
    shown = vrcodec.quality_map(data)
    assert shown.shape == QualityMap.grid_shape(width, height)
    # A cell of the file for each of its own.
    factor = 1 if qmap.uniform else qmap.stride // MAP_STRIDE
    shown = shown[::factor, ::factor]
    if rate is None and not qmap.uniform:
        assert (np.rint(255 * shown) == qmap.cells).all()
    header = parse_container(data).header
    if rate is not None:
        assert header.rate_code == round(rate * RATE_CODE_MAX)
    if not qmap.uniform:
        assert (shown == qmap.levels(header.rate_code)).all()
    assert shown.mean() == pytest.approx(header.rate_code / RATE_CODE_MAX, abs=1 / 65280)


@pytest.mark.parametrize("side", [1, 3])
@pytest.mark.parametrize("precision", ["float32", pytest.param("bfloat16", marks=needs_torch)])
def test_tiles_and_precision_do_not_matter(
    encoder: Encoder, photograph: Pixels, side: int, precision: str
) -> None:
    picture = Picture.from_array(photograph)
    data = encoder.encode(picture, RateSetting.from_rate(None, random_map(picture)))
    whole = Decoder(Engine("cpu", "float32")).decode(data).pixels.astype(int)
    engine = Engine("cpu", precision, Tiling(side=side))
    parts = Decoder(engine).decode(data).pixels.astype(int)
    assert np.abs(whole - parts).max() <= 1
    in_tiles = Encoder("qmap", engine)
    Decoder().decode(in_tiles.encode(picture, RateSetting.from_rate(None, random_map(picture))))


def test_bits_go_where_the_map_says(encoder: Encoder, decoder: Decoder, photograph: Pixels) -> None:
    picture = Picture.from_array(photograph)
    left = RegionOfInterest(Box(0, 0, 96, 150), 1.0)
    region = map_from_regions([left], Surroundings(0.0), picture.width, picture.height)
    data = encoder.encode(picture, RateSetting.from_rate(None, region))
    low, high = encoder.encode(picture, 0), encoder.encode(picture, RATE_CODE_MAX)
    assert len(low) < len(data) < len(high)
    found, worst, best = (decoder.decode(d).pixels for d in (data, low, high))
    for part, there in ((np.s_[:, :64], best), (np.s_[:, 128:], worst)):
        between = (psnr(worst[part], photograph[part]) + psnr(best[part], photograph[part])) / 2
        above = psnr(found[part], photograph[part]) > between
        assert above == (there is best)


def test_a_target_moves_the_level_and_keeps_the_shape(
    encoder: Encoder, decoder: Decoder, photograph: Pixels
) -> None:
    picture = Picture.from_array(photograph)
    corner = RegionOfInterest(Box(0, 0, 100, 100), 0.6)
    qmap = map_from_regions([corner], Surroundings(0.4), picture.width, picture.height)
    limit = len(encoder.encode(picture, RateSetting.from_rate(0.62, qmap)))
    found = encode_to_target(encoder, decoder, picture, Target("size", limit), qmap=qmap)
    assert limit * (1 - 3 * BYTES_TOLERANCE) <= len(found.data) <= limit
    levels = vrcodec.quality_map(found.data)
    assert levels[0, 0] - levels[-1, -1] == pytest.approx(0.2, abs=1 / 255)
    chosen = parse_rate_setting(parse_container(found.data)).qmap
    assert chosen is not None
    assert (chosen.cells == qmap.cells).all()
