"""Alpha: comes back exactly at any rate, costs little, and hostile blocks of samples are refused."""

from __future__ import annotations

import io
import struct
import weakref
import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.conftest import GOLDEN, Pixels, with_chunks
from tests.extent import examples
from vrcodec.bitstream import assembly, schema
from vrcodec.bitstream.container import parse_container
from vrcodec.bitstream.inspection import check_structure, inspect
from vrcodec.codec import Decoder, Encoder
from vrcodec.errors import CorruptError, TargetError
from vrcodec.lossless import blocks
from vrcodec.lossless.blocks import pack_blocks, unpack_blocks
from vrcodec.lossless.packing import Samples, check, pack, unpack
from vrcodec.picture.metadata import Metadata
from vrcodec.picture.picture import Picture
from vrcodec.picture.transparency import fill_transparent
from vrcodec.search.rate_control import encode_to_target
from vrcodec.search.target import Target

RGBA = (GOLDEN / "sides" / "rgba.vrc").read_bytes()


def samples(seed: int, height: int, width: int, kind: str, channels: int) -> Samples:
    """Blocks of every kind that packs in its own way."""
    random = np.random.default_rng(seed)
    shape = (height, width) if channels == 1 else (height, width, channels)
    values = random.integers(0, 256, shape, dtype=np.uint8)
    if kind == "one":
        return np.full_like(values, values.flat[0])
    if kind == "two":
        return (values > 127) * np.uint8(255)
    if kind == "ramp":
        values[:] = np.arange(values[0].size, dtype=np.uint8).reshape(values[0].shape)
    return values


@examples(120)
@given(
    st.integers(0, 99),
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from(["one", "two", "ramp", "noise"]),
    st.sampled_from([1, 3]),
)
def test_blocks_come_back(seed: int, height: int, width: int, kind: str, channels: int) -> None:
    array = samples(seed, height, width, kind, channels)
    payload = pack(array)
    check(payload, width, height, channels)
    assert (unpack(payload, width, height, channels) == array).all()
    # One value for all says nothing of the size.
    if payload[0]:
        for other in ((width + 1, height), (width, height + 1)):
            with pytest.raises(CorruptError):
                check(payload, *other, channels)


def test_each_way_of_packing_is_used() -> None:
    y, x = np.mgrid[0:300, 0:300]
    products = (x * y % 256).astype(np.uint8)
    used = {pack(samples(0, 64, 64, kind, 1))[0] for kind in ("one", "ramp")}
    assert used | {pack(products)[0]} == {0, 1, 2}
    assert len(pack(np.zeros((64, 64), np.uint8))) == 2


@examples(60)
@given(st.data())
def test_a_window_is_that_of_the_whole(data: st.DataObject) -> None:
    side = 8
    width, height = data.draw(st.integers(1, 30)), data.draw(st.integers(1, 30))
    left, right = sorted(
        data.draw(st.lists(st.integers(0, width), min_size=2, max_size=2, unique=True))
    )
    top, bottom = sorted(
        data.draw(st.lists(st.integers(0, height), min_size=2, max_size=2, unique=True))
    )
    channels = data.draw(st.sampled_from([1, 3]))
    array = samples(1, height, width, "noise", channels)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK_PIXELS", side)
        payloads = pack_blocks(array)
        # Blocks outside are not looked at.
        columns = -(-width // side)
        for index in range(len(payloads)):
            x, y = index % columns * side, index // columns * side
            if x >= right or x + side <= left or y >= bottom or y + side <= top:
                payloads[index] = b""
        found = unpack_blocks(payloads, width, height, channels, (left, top, right, bottom))
    assert (found == array[top:bottom, left:right]).all()


def as_png(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    return b"\1" + buffer.getvalue()


def as_webp(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", **{"lossless": True, **options})
    return b"\2" + buffer.getvalue()


def png_of_parts(header: bytes, content: bytes) -> bytes:
    def part(kind: bytes, body: bytes) -> bytes:
        seal = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + seal

    parts = part(b"IHDR", header), part(b"IDAT", content), part(b"IEND", b"")
    return b"\1\x89PNG\r\n\x1a\n" + b"".join(parts)


GREY = Image.fromarray(samples(0, 8, 8, "noise", 1))
TEXT = PngInfo()
TEXT.add_itxt("k", " " * 10**6, zip=True)
HEAD = struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0)
HOSTILE = {
    "empty": b"",
    "unknown": b"\3abc",
    "constant of two": b"\0ab",
    "no png": b"\1" + b"\x89PNG\r\n\x1a\n",
    "no webp": b"\2RIFF",
    "another size": as_png(GREY.resize((9, 8))),
    "another webp size": as_webp(GREY.resize((8, 9))),
    "huge": png_of_parts(struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 0, 0, 0, 0), b""),
    "colours": as_png(GREY.convert("RGB")),
    "palette": as_png(GREY.convert("P")),
    "alpha": as_png(GREY.convert("LA")),
    "deep": as_png(Image.fromarray(np.zeros((8, 8), np.uint16))),
    "text": as_png(GREY, pnginfo=TEXT),
    "profile": as_png(GREY, icc_profile=b"i" * 100),
    "transparency": as_png(GREY, transparency=3),
    "animation": as_png(GREY, save_all=True, append_images=[Image.new("L", (8, 8))]),
    "interlaced": png_of_parts(HEAD[:-1] + b"\1", zlib.compress(bytes(72))),
    "no samples": png_of_parts(HEAD, b""),
    "too few rows": png_of_parts(HEAD, zlib.compress(bytes(9))),
    "a filter that is none": png_of_parts(HEAD, zlib.compress(b"\7" * 72)),
    "behind the end": as_png(GREY) + b"?",
    "cut": as_png(GREY)[:-20],
    "webp cut": as_webp(GREY)[:-8],
    "webp with more": as_webp(GREY) + b"??",
    "webp with loss": as_webp(GREY, lossless=False),
    "webp with alpha": as_webp(Image.fromarray(samples(0, 8, 8, "noise", 4))),
    "webp with colours": as_webp(Image.fromarray(samples(0, 8, 8, "noise", 3))),
    "webp with metadata": as_webp(GREY, xmp=b"<x/>"),
    "webp in frames": as_webp(GREY, save_all=True, append_images=[Image.new("L", (8, 8))]),
}


@pytest.mark.parametrize("payload", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_blocks_are_refused(payload: bytes) -> None:
    with pytest.raises(CorruptError, match="damaged"):
        unpack(payload, 8, 8, 1)


def test_a_bomb_behind_the_samples_is_not_unpacked() -> None:
    """A decoder that goes on would fill the memory; ours stops at the last row."""
    content = zlib.compress(bytes(72) + bytes(1 << 27), 9)
    try:
        found = unpack(png_of_parts(HEAD, content), 8, 8, 1)
    except CorruptError:
        return
    assert not found.any()


@examples(200)
@given(st.data())
def test_damage_in_a_block_never_ends_in_a_traceback(data: st.DataObject) -> None:
    payload = bytearray(
        data.draw(st.sampled_from([as_png(GREY), as_webp(GREY), pack(np.asarray(GREY))]))
    )
    for _ in range(data.draw(st.integers(1, 3))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = unpack(bytes(payload), 8, 8, 1)
    except CorruptError:
        return
    assert found.shape == (8, 8)


@pytest.mark.parametrize("payloads", [[b"\0\0"] * 2, [b"\3"], [as_png(GREY)]])
def test_alpha_that_does_not_fit_is_refused(decoder: Decoder, payloads: list[bytes]) -> None:
    damaged = with_chunks(schema.CHUNK_ALPHA, RGBA, *payloads)
    with pytest.raises(CorruptError):
        decoder.decode(damaged)
    with pytest.raises(CorruptError):
        check_structure(damaged)


def test_alpha_that_cannot_be_unpacked_is_found_by_decoding(decoder: Decoder) -> None:
    info = inspect(RGBA)
    head = struct.pack(">IIBBBBB", info.width, info.height, 8, 0, 0, 0, 0)
    # Rows of the right length, with a filter that there is not.
    rows = zlib.compress(b"\7" * info.height * (info.width + 1))
    damaged = with_chunks(schema.CHUNK_ALPHA, RGBA, png_of_parts(head, rows))
    check_structure(damaged)
    with pytest.raises(CorruptError, match="unpacked"):
        decoder.decode(damaged)


@pytest.mark.parametrize("family", ["gained", "qvrf", "qmap", "slim", "qarv"])
@pytest.mark.parametrize("grey", [False, True])
def test_every_family_keeps_alpha(photograph: Pixels, family: str, grey: bool) -> None:
    alpha = samples(3, *photograph.shape[:2], "noise", 1)
    colours = photograph[:, :, :1] if grey else photograph
    picture = Picture.from_array(np.dstack([colours, alpha]))
    data = Encoder(family).encode(picture, 30_000)
    decoded = Decoder().decode(data)
    assert decoded.to_image().mode == ("LA" if grey else "RGBA")
    assert (decoded.alpha == alpha).all()
    assert decoded.to_array().shape == picture.to_array().shape


def test_opaque_alpha_is_kept_for_a_few_bytes(
    encoder: Encoder, decoder: Decoder, photograph: Pixels
) -> None:
    opaque = np.full(photograph.shape[:2], 255, np.uint8)
    data = encoder.encode(Picture(photograph, "RGB", opaque), 0)
    assert decoder.decode(data).to_image().mode == "RGBA"
    assert len(data) - len(encoder.encode(Picture(photograph), 0)) == 8


def hidden_noise(photograph: Pixels) -> Picture:
    """The right half transparent, with noise beneath."""
    pixels = photograph.copy()
    half = pixels.shape[1] // 2
    pixels[:, half:] = samples(5, pixels.shape[0], pixels.shape[1] - half, "noise", 3)
    alpha = np.full(pixels.shape[:2], 255, np.uint8)
    alpha[:, half:] = 0
    return Picture(pixels, "RGB", alpha)


def test_what_nobody_sees_costs_next_to_nothing(encoder: Encoder, photograph: Pixels) -> None:
    picture = hidden_noise(photograph)
    for code in (10_000, 60_000):
        treated = len(encoder.encode(picture, code)) - encoder.auxiliary_bytes(picture)
        # Less than the photograph that was there, and much less than the noise.
        assert treated < 0.85 * len(encoder.encode(Picture(photograph), code))
        assert treated < 0.7 * len(encoder.encode(Picture(picture.pixels), code))


@examples(40)
@given(st.integers(0, 99), st.integers(1, 50), st.integers(1, 50), st.floats(0, 1))
def test_only_what_is_hidden_changes(seed: int, height: int, width: int, share: float) -> None:
    random = np.random.default_rng(seed)
    alpha = ((random.random((height, width)) < share) * random.integers(1, 256)).astype(np.uint8)
    pixels = samples(seed, height, width, "noise", 3)
    found = fill_transparent(Picture(pixels, "RGB", alpha))
    assert (found.pixels[alpha > 0] == pixels[alpha > 0]).all()
    assert (fill_transparent(found).pixels == found.pixels).all()
    # What is beneath has no say.
    other = np.where(alpha[:, :, None] > 0, pixels, 255 - pixels)
    assert (fill_transparent(Picture(other, "RGB", alpha)).pixels == found.pixels).all()
    if alpha.any():
        low, high = (edge(pixels[alpha > 0], axis=0) for edge in (np.min, np.max))
        assert ((found.pixels >= low) & (found.pixels <= high)).all()


def test_fills_are_smooth_over_strips(monkeypatch: pytest.MonkeyPatch, photograph: Pixels) -> None:
    from vrcodec.picture import transparency

    alpha = np.zeros(photograph.shape[:2], np.uint8)
    alpha[10:30, 20:50] = alpha[100:140, 120:] = 9
    picture = Picture(photograph, "RGB", alpha)
    whole = fill_transparent(picture).pixels
    monkeypatch.setattr(transparency, "_STRIP", 16)
    assert (fill_transparent(picture).pixels == whole).all()
    hidden = np.where(alpha[:, :, None] > 0, 0, whole).astype(int)
    inside = hidden[35:95, 60:115]
    assert max(np.abs(np.diff(inside, axis=axis)).max() for axis in (0, 1)) < 12


def test_targets_count_alpha_and_metadata(encoder: Encoder, photograph: Pixels) -> None:
    picture = replace(hidden_noise(photograph), metadata=Metadata(icc=bytes(range(256))))
    found = encode_to_target(encoder, Decoder(), picture, Target("size", 2000))
    assert found.met
    assert 1950 < len(found.data) <= 2000
    with pytest.raises(TargetError, match=r"alpha and metadata take \d+ bytes"):
        encode_to_target(encoder, Decoder(), picture, Target("size", 200), strict=True)


def test_alpha_is_packed_once_and_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = []
    right = assembly.pack_blocks
    monkeypatch.setattr(assembly, "pack_blocks", lambda a: packed.append(a.shape) or right(a))
    sides, alpha = assembly.AuxiliaryChunkCache(), samples(0, 8, 8, "noise", 1)
    pixels = samples(0, 8, 8, "noise", 3)
    picture = Picture(pixels, "RGB", alpha)
    chunks = sides.chunks(picture)
    assert sides.chunks(replace(picture, pixels=255 - pixels)) is chunks
    assert len(packed) == 1
    gone = weakref.ref(alpha)
    metadata = picture.metadata
    del alpha, picture
    assert gone() is None
    assert sides.chunks(Picture(pixels, metadata=metadata)) == []


def test_quality_is_that_of_what_is_visible(encoder: Encoder, photograph: Pixels) -> None:
    """Noise that nobody sees would let no rate reach this."""
    found = encode_to_target(encoder, Decoder(), hidden_noise(photograph), Target("psnr", 27))
    assert found.met


def test_older_programs_refuse_alpha_rather_than_lose_it() -> None:
    kinds = {chunk.type for chunk in parse_container(RGBA).chunks}
    assert schema.CHUNK_ALPHA in kinds
    assert schema.CHUNK_ALPHA < schema.FIRST_ANCILLARY
