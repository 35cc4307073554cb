"""Looking for what else is in a file fails no picture that Pillow opens, however damaged the file is."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.files import blocks, bmp_v5, exif, gif_with, jpeg, jpegs_with_index, scene, segment
from tests.pictures import stored
from vrcodec.errors import InputError
from vrcodec.picture.intake.containers.formats import read_contents
from vrcodec.picture.reading import read_picture

IMAGE = scene(24, 16)
CUT_OUT = IMAGE.convert("RGBA")
CUT_OUT.putalpha(IMAGE.getchannel(0))
FILES = {
    "AVIF": stored(CUT_OUT, "AVIF", exif=exif({}), speed=10).getvalue() + bytes(9) + b"rest",
    "BMP": bmp_v5(IMAGE, b"DEBM", profile=bytes(300)),
    "GIF": gif_with(IMAGE, 0xFF, b"ICCRGBG1012", blocks(bytes(300))) + b"rest",
    "JPEG": jpegs_with_index([jpeg(IMAGE, segment(0xEB, b"JP"))] * 2, [0x030000, 0]) + b"rest",
    "PNG": 2 * stored(IMAGE, "PNG").getvalue(),
    "PPM": 2 * stored(IMAGE, "PPM").getvalue(),
    "TIFF": stored(IMAGE, "TIFF", save_all=True, append_images=[IMAGE]).getvalue(),
    "WEBP": stored(IMAGE, "WEBP", exif=exif({})).getvalue() + b"rest",
}


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("file_format", FILES)
@given(at=st.integers(0, 900), noise=st.binary(max_size=6), length=st.integers(0, 40))
def test_damage_is_no_trouble(file_format: str, at: int, noise: bytes, length: int) -> None:
    data = FILES[file_format]
    at = at % len(data)
    source = io.BytesIO(data[:at] + noise + data[at + length :])
    try:
        image = Image.open(source, formats=[file_format])
    except Exception:
        # Pillow's plugins raise exceptions of any type.
        return
    with image:
        contents = read_contents(image, source)
    assert all(start < end for start, end in contents.parts)


@pytest.mark.parametrize("file_format", FILES)
def test_the_position_is_left_as_it_was(file_format: str) -> None:
    source = io.BytesIO(FILES[file_format])
    with Image.open(source) as image:
        source.seek(7)
        read_contents(image, source)
        assert source.tell() == 7


def test_a_jpeg_whose_height_comes_behind_its_samples_is_refused() -> None:
    data = bytearray(jpeg(IMAGE))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 2] = bytes(2)
    with pytest.raises(InputError, match="convert it to PNG first"):
        read_picture(io.BytesIO(data), "x")
