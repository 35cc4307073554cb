"""The clean aperture of AVIF: what lies outside of it is not the picture."""

from __future__ import annotations

import io
import struct
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.avif_boxes import add_property, add_to_track
from tests.files import exif, numbers, scene
from tests.pictures import stored
from vrcodec.errors import InputError
from vrcodec.picture.intake.read_options import ReadOptions
from vrcodec.picture.reading import read_picture

WIDTH, HEIGHT = 64, 48


def aperture(
    width: int | Fraction, height: int | Fraction, right: int | Fraction, below: int | Fraction
) -> bytes:
    """The content of the box: size, and how far its middle is from that of the picture."""
    numbers = [
        part
        for value in (width, height, right, below)
        for part in Fraction(value).as_integer_ratio()
    ]
    return struct.pack(">IIIIiIiI", *numbers)


def around(left: int, top: int, width: int, height: int) -> bytes:
    """That of a rectangle."""
    right = Fraction(2 * left + width - WIDTH, 2)
    below = Fraction(2 * top + height - HEIGHT, 2)
    return aperture(width, height, right, below)


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:0"])
@pytest.mark.parametrize(
    "window", [(0, 0, 32, 24), (32, 24, 32, 24), (5, 3, 21, 17), (0, 0, 1, 1), (0, 0, 64, 48)]
)
def test_what_is_inside_comes_in(subsampling: str, window: tuple[int, int, int, int]) -> None:
    image = scene()
    image.putalpha(image.getchannel(0))
    plain = stored(image, "AVIF", quality=95, subsampling=subsampling)
    whole = read_picture(plain, "x")
    picture = read_picture(
        io.BytesIO(add_property(plain.getvalue(), b"clap", around(*window))), "x"
    )
    left, top, width, height = window
    assert (picture.width, picture.height) == (width, height)
    area = slice(top, top + height), slice(left, left + width)
    assert (picture.pixels == whole.pixels[area]).all()
    assert picture.alpha is not None
    assert whole.alpha is not None
    assert (picture.alpha == whole.alpha[area]).all()
    told = [] if window == (0, 0, WIDTH, HEIGHT) else ["cropped to its clean aperture"]
    assert [note.text for note in picture.notes] == told


@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_is_cropped_first_and_turned_then(orientation: int) -> None:
    block = exif({0x0112: numbers(orientation)}, {0xA002: numbers(64), 0xA003: numbers(48)})
    plain = stored(scene(), "AVIF", quality=95, exif=block)
    data = add_property(plain.getvalue(), b"clap", around(4, 6, 20, 10))
    picture = read_picture(io.BytesIO(data), "x")
    with Image.open(io.BytesIO(data)) as image:
        cropped = image.crop((4, 6, 24, 16))
    cropped.getexif()[0x0112] = orientation
    turned = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
    expected = cropped.transpose(turned[orientation]) if orientation > 1 else cropped
    assert (picture.pixels == np.asarray(expected)).all()
    found = Image.Exif()
    found.load(picture.metadata.exif or b"")
    own = found.get_ifd(0x8769)
    assert (own[0xA002], own[0xA003]) == (picture.width, picture.height)


@pytest.mark.parametrize(
    "content",
    [
        aperture(32, 24, Fraction(1, 2), 0),
        aperture(Fraction(63, 2), 24, 0, 0),
        around(-1, 0, 32, 24),
        around(40, 0, 32, 24),
        around(0, 0, 64, 50),
        aperture(0, 24, 0, 0),
        struct.pack(">IIIIiIiI", 32, 0, 24, 1, 0, 1, 0, 1),
    ],
)
def test_one_that_makes_no_sense_is_refused(content: bytes) -> None:
    data = add_property(stored(scene(), "AVIF").getvalue(), b"clap", content)
    with pytest.raises(InputError, match="x: has a clean aperture that is not of whole pixels"):
        read_picture(io.BytesIO(data), "x")


@given(st.tuples(*[st.integers(0, 80)] * 4))
def test_only_rectangles_inside_are_taken(window: tuple[int, int, int, int]) -> None:
    left, top, width, height = window
    data = add_property(PLAIN, b"clap", around(*window))
    fits = 0 < width <= WIDTH - left and 0 < height <= HEIGHT - top
    try:
        picture = read_picture(io.BytesIO(data), "x")
    except InputError:
        assert not fits
    else:
        assert fits
        assert (picture.width, picture.height) == (width, height)


PLAIN = stored(scene(), "AVIF", speed=10).getvalue()


def test_that_of_an_animation() -> None:
    frames = [scene(), scene().transpose(Image.Transpose.ROTATE_180)]
    plain = stored(frames[0], "AVIF", quality=95, save_all=True, append_images=frames[1:])
    data = add_to_track(plain.getvalue(), b"clap", around(4, 6, 20, 10))
    options = ReadOptions(frame=1)
    whole = read_picture(plain, "x", options=options)
    picture = read_picture(io.BytesIO(data), "x", options=options)
    assert (picture.pixels == whole.pixels[6:16, 4:24]).all()
