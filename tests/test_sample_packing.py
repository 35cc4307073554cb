"""Blocks of samples come back exactly, whole and in windows, and hostile ones are refused."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.extent import examples
from tests.sample_blocks import GREY, as_png, png_of_parts, samples
from vrcodec.errors import CorruptError
from vrcodec.lossless import blocks
from vrcodec.lossless.blocks import pack_blocks, unpack_blocks
from vrcodec.lossless.packing import check, pack, unpack


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


def as_webp(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", **{"lossless": True, **options})
    return b"\2" + buffer.getvalue()


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
