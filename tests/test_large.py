"""Large pictures: tiles, crops and previews show the same picture, and no more is read than they need."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import vrcodec
from tests.conftest import GOLDEN, Pixels, random_map
from tests.extent import examples
from vrcodec.bitstream import schema
from vrcodec.bitstream.container import parse_container
from vrcodec.bitstream.rate_setting import RateSetting
from vrcodec.bitstream.source import FileSource
from vrcodec.codec import Decoder, Encoder, Engine
from vrcodec.errors import CorruptError, UsageError
from vrcodec.picture.picture import Picture
from vrcodec.regions.region import Rectangle, Region
from vrcodec.regions.tiling import Tiling

FAMILIES = ("gained", "qvrf", "qmap", "slim", "qarv")
KINDS = (*FAMILIES, "map", "alpha", "lossless")
# Two rows of two blocks; the last ones are a few samples wide.
WIDTH, HEIGHT = 1100, 1061
SIDES = st.sampled_from([None, 1, 3, 7, 16, 40])
FLOAT32 = Engine("cpu", "float32")


@pytest.fixture(autouse=True, scope="module")
def _weights() -> object:
    """For the cached files below, which outlive a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VRCODEC_WEIGHTS", str(GOLDEN))
        yield


@cache
def pixels() -> Pixels:
    """Smooth, with some noise: seams would show."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    waves = np.stack([np.sin(x / 40), np.sin(y / 31), np.sin((x + y) / 57)], axis=2)
    noise = np.random.default_rng(0).normal(0, 6, (HEIGHT, WIDTH, 3))
    return (127 + 100 * waves + noise).clip(0, 255).astype(np.uint8)


def picture_of(kind: str) -> Picture:
    if kind == "alpha":
        return Picture(pixels(), "RGB", np.ascontiguousarray(pixels()[..., 1] | 1))
    return Picture.from_array(pixels())


def encoded(kind: str, tiling: Tiling) -> bytes:
    """The file of `pixels`, by a family or of a kind."""
    engine = Engine("cpu", "float32", tiling)
    picture = picture_of(kind)
    if kind == "lossless":
        return Encoder("slim", engine).encode_lossless(picture)
    setting = RateSetting(30_000, qmap=random_map(picture) if kind == "map" else None)
    family = {"map": "qmap", "alpha": "slim"}.get(kind, kind)
    return Encoder(family, engine).encode(picture, setting)


@cache
def data(kind: str) -> bytes:
    return encoded(kind, Tiling())


@cache
def decoder() -> Decoder:
    return Decoder(FLOAT32)


@cache
def whole(kind: str) -> Picture:
    return decoder().decode(data(kind))


def mean(values: Pixels, scale: int) -> Pixels:
    """Means of squares, as `decode --scale` promises them."""
    height, width = values.shape[:2]
    others = [(0, 0)] * (values.ndim - 2)

    def sums(of: Pixels) -> np.ndarray:  # type: ignore[type-arg]
        whole = np.pad(of, [(0, -height % scale), (0, -width % scale), *others]).astype(np.int64)
        down, across = whole.shape[0] // scale, whole.shape[1] // scale
        return whole.reshape(down, scale, across, scale, *values.shape[2:]).sum(axis=(1, 3))

    counts = sums(np.ones_like(values))
    return ((sums(values) + counts // 2) // counts).astype(np.uint8)


@st.composite
def rectangles(draw: st.DrawFn) -> Rectangle:
    left = draw(st.integers(0, WIDTH - 1))
    top = draw(st.integers(0, HEIGHT - 1))
    width = draw(st.integers(1, min(150, WIDTH - left)))
    height = draw(st.integers(1, min(150, HEIGHT - top)))
    return Rectangle(left, top, width, height)


# --- tiles ---


@pytest.mark.parametrize("kind", [*FAMILIES, "map"])
@pytest.mark.parametrize("side", [19, 64])
def test_the_file_is_the_same_whatever_the_tiles(kind: str, side: int) -> None:
    assert encoded(kind, Tiling(side=side)) == data(kind)


@pytest.mark.parametrize("kind", [*FAMILIES, "map"])
@pytest.mark.parametrize("side", [19, 50])
def test_the_picture_is_the_same_whatever_the_tiles(kind: str, side: int) -> None:
    tiled = Decoder(Engine("cpu", "float32", Tiling(side=side))).decode(data(kind))
    assert (tiled.pixels == whole(kind).pixels).all()


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
    plain = Encoder(family, FLOAT32).encode(Picture.from_array(part), 30_000)
    assert Encoder(family, engine).encode(Picture.from_array(part), 30_000) == plain
    shown = Decoder(engine).decode(plain).pixels
    assert (shown == decoder().decode(plain).pixels).all()


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


# --- crops and previews ---


@examples(60)
@given(rectangles(), st.sampled_from(KINDS), SIDES)
def test_a_crop_is_a_part_of_the_picture(rectangle: Rectangle, kind: str, side: int | None) -> None:
    tiled = Decoder(Engine("cpu", "float32", Tiling(side=side)))
    crop = tiled.decode(data(kind), region=Region(rectangle))
    rows = slice(rectangle.top, rectangle.bottom)
    columns = slice(rectangle.left, rectangle.right)
    assert (crop.pixels == whole(kind).pixels[rows, columns]).all()
    if kind == "alpha":
        assert crop.alpha is not None
        assert (crop.alpha == picture_of(kind).alpha[rows, columns]).all()  # type: ignore[index]


@examples(30)
@given(
    st.one_of(st.none(), rectangles()), st.sampled_from([2, 4, 8]), st.sampled_from(KINDS), SIDES
)
def test_a_preview_has_the_means(
    rectangle: Rectangle | None, scale: int, kind: str, side: int | None
) -> None:
    side = None if rectangle is None else side
    tiled = Decoder(Engine("cpu", "float32", Tiling(side=side)))
    preview = tiled.decode(data(kind), region=Region(rectangle, scale))
    own = rectangle or Rectangle(0, 0, WIDTH, HEIGHT)
    window = slice(own.top, own.bottom), slice(own.left, own.right)
    assert (preview.pixels == mean(whole(kind).pixels[window], scale)).all()
    if kind == "alpha":
        assert (preview.alpha == mean(picture_of(kind).alpha[window], scale)).all()  # type: ignore[index]


def test_levels_go_with_crop_and_scale() -> None:
    rectangle = Rectangle(1000, 900, 80, 150)
    plain = decoder().decode(data("qarv"), 2).pixels
    cropped = plain[rectangle.top : rectangle.bottom, rectangle.left : rectangle.right]
    region = Region(rectangle, 4)
    assert (decoder().decode(data("qarv"), 2, region=region).pixels == mean(cropped, 4)).all()
    early = data("qarv")[:-200]
    partial = decoder().decode(early, partial=True, region=region).pixels
    held = decoder().read(early, partial=True).available_levels
    assert (partial == decoder().decode(data("qarv"), held, region=region).pixels).all()


def test_a_preview_of_black_and_white_is_grey() -> None:
    dots = np.indices((5, 9)).sum(axis=0) % 2 * 255
    picture = Picture(np.repeat(dots.astype(np.uint8)[..., None], 3, axis=2), "1")
    preview = decoder().decode(Encoder("slim").encode(picture, 0), region=Region(scale=2))
    assert preview.mode == "L"
    assert set(preview.to_array()[:2, :4].flat) == {128}


@pytest.mark.parametrize(
    "crop",
    [(-1, 0, 5, 5), (0, 0, WIDTH + 1, 5), (0, HEIGHT, 5, 5), (0, 0, 0, 5), (3, 3, 5, -2)],
)
def test_a_crop_beyond_the_picture_is_refused(crop: tuple[int, int, int, int]) -> None:
    with pytest.raises(UsageError, match=f"{WIDTH}x{HEIGHT}|no pixels"):
        vrcodec.decode(data("slim"), crop=crop)


# --- reading parts of a file ---


class CountingFile(io.BytesIO):
    """Knows which bytes were read."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.seen = np.zeros(len(content), bool)

    def read(self, size: int | None = -1, /) -> bytes:
        start = self.tell()
        content = super().read(size)
        self.seen[start : start + len(content)] = True
        return content


def spoiled(content: bytes, position: int) -> FileSource:
    return FileSource(
        io.BytesIO(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
    )


@pytest.mark.parametrize("kind", ["slim", "alpha", "lossless"])
def test_blocks_that_a_crop_does_not_need_are_not_read(kind: str) -> None:
    file = CountingFile(data(kind))
    region = Region(Rectangle(10, 20, 300, 200))
    crop = decoder().decode(FileSource(file), region=region)
    assert (crop.pixels == whole(kind).pixels[20:220, 10:310]).all()
    blocks = [c for c in parse_container(data(kind)).chunks if c.type in schema.BLOCK_CHUNKS]
    for number, chunk in enumerate(blocks):
        seen = file.seen[chunk.offset : chunk.offset + len(chunk.payload)]
        # Of the others, no more than where a chunk's type and length are looked for.
        assert seen.all() if number % 4 == 0 else seen.sum() < 64


@pytest.mark.parametrize("family", ["gained", "qvrf", "qmap", "slim"])
def test_damage_matters_where_it_is_needed(family: str) -> None:
    """What is known of a block may follow from its neighbour, too, but not from the one behind that."""
    strip = np.ascontiguousarray(np.tile(pixels()[:60], (1, 2, 1))[:, :2100])
    content = Encoder(family, FLOAT32).encode(Picture.from_array(strip), 30_000)
    middles = [c.offset + len(c.payload) // 2 for c in parse_container(content).latent_chunks()]
    region = Region(Rectangle(0, 0, 400, 60))
    crop = decoder().decode(spoiled(content, middles[2]), region=region)
    assert (crop.pixels == decoder().decode(content).pixels[:, :400]).all()
    with pytest.raises(CorruptError, match="checksum"):
        decoder().decode(spoiled(content, middles[0]), region=region)
    with pytest.raises(CorruptError, match="checksum"):
        decoder().decode(spoiled(content, middles[2]))


def test_blocks_of_another_file_are_noticed() -> None:
    """Also where they are not read."""
    content = bytearray(data("slim"))
    last = parse_container(data("slim")).latent_chunks()[-1]
    seal = last.offset + len(last.payload)
    content[seal] ^= 1
    with pytest.raises(CorruptError, match="written together"):
        decoder().decode(FileSource(io.BytesIO(content)), region=Region(Rectangle(0, 0, 9, 9)))


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_a_file_that_ends_early_is_noticed(cut: int) -> None:
    with pytest.raises(CorruptError, match="truncated"):
        decoder().decode(
            FileSource(io.BytesIO(data("qvrf")[:-cut])), region=Region(Rectangle(0, 0, 9, 9))
        )


# --- what a user does ---


def test_crop_scale_and_memory_on_the_command_line(
    run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("a.vrc").write_bytes(data("slim"))
    assert run("decode", "a.vrc", "-o", "crop.png", "--crop", "1000,10,90,40") == 0
    assert run("decode", "a.vrc", "-o", "small.png", "--scale", "1/8", "--memory", "1GB") == 0
    assert Image.open("crop.png").size == (90, 40)
    assert Image.open("small.png").size == (-(-WIDTH // 8), -(-HEIGHT // 8))
    assert np.array_equal(
        np.asarray(vrcodec.open("a.vrc", crop=(1000, 10, 90, 40))),
        np.asarray(vrcodec.decode(data("slim"), crop=(1000, 10, 90, 40))),
    )
    assert run("decode", "a.vrc", "-o", "b.png", "--crop", "1000,10,900,40") == 2
    assert f"a.vrc: the crop 1000,10,900,40 is not inside the picture of {WIDTH}x{HEIGHT}" in (
        capsys.readouterr().err
    )
    assert run("decode", "a.vrc", "-o", "b.png", "--crop", "1,2,3") == 2
    Image.fromarray(pixels()[:300, :300]).save("c.png")
    for memory in ("0", "3GiB"):
        assert run("encode", "c.png", "-o", f"{memory}.vrc", "--memory", memory) == 0
    assert Path("0.vrc").read_bytes() == Path("3GiB.vrc").read_bytes()
    assert run("verify", "--full", "--memory", "700MB", "0.vrc") == 0
