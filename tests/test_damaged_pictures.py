"""Pictures that are damaged or too large are refused with a sentence, before they take memory."""

from __future__ import annotations

import io
import resource
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.conftest import Pixels
from tests.pictures import chunk, stored, with_chunk
from vrcodec.errors import InputError, LimitError, VrcError
from vrcodec.limits import Limits
from vrcodec.picture.intake.read_options import ReadOptions
from vrcodec.picture.reading import picture_from_image, read_picture


def test_a_pixel_beyond_the_palette_is_damage(photograph: Pixels) -> None:
    data = stored(Image.fromarray(photograph).quantize(16), "PNG").getvalue()
    at = data.index(b"PLTE")
    length = struct.unpack(">I", data[at - 4 : at])[0]
    source = io.BytesIO(data[: at - 4] + chunk(b"PLTE", bytes(6)) + data[at + 8 + length :])
    with pytest.raises(InputError, match="beyond the palette"):
        read_picture(source, "x")


@pytest.mark.parametrize(
    "file_format", ["PNG", "JPEG", "WEBP", "AVIF", "TIFF", "BMP", "PPM", "GIF"]
)
@given(share=st.floats(0, 0.99))
def test_files_that_end_early_are_refused(
    photograph: Pixels, file_format: str, share: float
) -> None:
    data = stored(Image.fromarray(photograph[:32, :48]), file_format).getvalue()
    with pytest.raises(InputError, match="x: "):
        read_picture(io.BytesIO(data[: int(share * len(data))]), "x")


@given(at=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_every_flipped_bit_of_a_png_is_found(photograph: Pixels, at: int, bit: int) -> None:
    whole = stored(Image.fromarray(photograph[:16, :16]), "PNG", dpi=(72, 72)).getvalue()
    data = bytearray(whole)
    data[at % len(data)] ^= 1 << bit
    with pytest.raises(InputError, match="x: "):
        read_picture(io.BytesIO(bytes(data)), "x")


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "AVIF", "TIFF", "GIF"])
@given(changes=st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=20))
def test_no_damage_is_an_internal_error(
    photograph: Pixels, file_format: str, changes: list[tuple[int, int]]
) -> None:
    data = bytearray(stored(Image.fromarray(photograph[:16, :24]), file_format).getvalue())
    for at, value in changes:
        data[at % len(data)] = value
    options = ReadOptions(reduce_depth=True, icc="srgb", limits=Limits(max_pixels=1 << 20))
    try:
        picture = read_picture(io.BytesIO(bytes(data)), "x", options=options)
    except VrcError as error:
        assert str(error).startswith("x: ")
    else:
        assert picture.pixels.shape == (picture.height, picture.width, 3)


def test_text_that_unpacks_to_gigabytes_is_not_unpacked(photograph: Pixels) -> None:
    png = stored(Image.fromarray(photograph), "PNG").getvalue()
    bomb = zlib.compress(bytes(1 << 26), 9)
    for kind, head in ((b"zTXt", b"Raw profile type exif\0\0"), (b"iCCP", b"x\0\0")):
        with pytest.raises(InputError, match=r"x: the picture is damaged: .*too large"):
            read_picture(with_chunk(png, kind, head + bomb), "x")


def test_images_in_memory_meet_the_same_checks(photograph: Pixels) -> None:
    data = stored(Image.fromarray(photograph), "JPEG").getvalue()[:3000]
    with Image.open(io.BytesIO(data)) as image, pytest.raises(InputError, match="damaged"):
        picture_from_image(image)
    png = bytearray(stored(Image.fromarray(photograph), "PNG").getvalue())
    png[-16] ^= 1
    with Image.open(io.BytesIO(png)) as image, pytest.raises(InputError, match="checksum"):
        picture_from_image(image)
    with pytest.raises(InputError, match="empty"):
        picture_from_image(Image.new("RGB", (0, 5)))


def test_the_pixel_limit_is_ours() -> None:
    large = Image.new("L", (3000, 2000))
    few = ReadOptions(limits=Limits(max_pixels=5_999_999))
    with pytest.raises(LimitError, match="3000x2000"):
        read_picture(stored(large, "PNG"), "x", options=few)
    before = Image.MAX_IMAGE_PIXELS
    try:
        Image.MAX_IMAGE_PIXELS = 100
        assert read_picture(stored(large, "PNG"), "x").width == 3000
        assert Image.MAX_IMAGE_PIXELS == 100
    finally:
        Image.MAX_IMAGE_PIXELS = before


def test_a_header_of_gigabytes_is_refused_before_they_are_taken() -> None:
    """Pillow fills a GIF's background while it opens the file."""
    header = b"GIF89a" + struct.pack("<HH", 20000, 20000) + b"\xf0\0\0" + bytes(6)
    frame = b"!\xf9\4\x09\0\0\0\0," + struct.pack("<4H", 0, 0, 20000, 20000) + b"\0\2\0;"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(LimitError, match=r"x: .*--max-pixels"):
        read_picture(io.BytesIO(header + frame), "x")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before + (1 << 18)
