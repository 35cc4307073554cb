"""Colours that Pillow does not report: kept, converted or refused, never taken for sRGB in silence."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from tests.files import blocks, bmp_v5, exif, gif_with, numbers, scene, text
from tests.pictures import chunk, stored, with_chunk
from vrcodec.errors import InputError
from vrcodec.picture.intake.colour_description import ADOBE_RGB
from vrcodec.picture.intake.icc_profile import SRGB, SRGB_CURVE, grey_profile, rgb_profile
from vrcodec.picture.intake.read_options import ReadOptions
from vrcodec.picture.picture import Picture
from vrcodec.picture.reading import read_picture

ICC = rgb_profile((1.8,), SRGB)
EMBEDDED, LINKED, CALIBRATED, WINDOWS = b"DEBM", b"KNIL", bytes(4), b" niW"
TO_SRGB = ReadOptions(icc="srgb")
COLOUR_SPACE = 0xA001
R03 = {1: text(b"R03")}


def read(data: bytes, **options: object) -> Picture:
    return read_picture(io.BytesIO(data), "x", options=ReadOptions(**options))


def greys() -> Image.Image:
    return scene().convert("L")


@pytest.mark.parametrize("image", [scene(), scene().quantize(64), greys(), greys().convert("1")])
@pytest.mark.parametrize("file_format", ["BMP", "GIF"])
def test_the_profile_is_kept(image: Image.Image, file_format: str) -> None:
    """Also where Pillow makes greys of a palette: such files know RGB alone."""
    if file_format == "BMP":
        data = bmp_v5(image, EMBEDDED, profile=ICC)
    else:
        data = gif_with(image, 0xFF, b"ICCRGBG1012", blocks(ICC))
    picture = read(data)
    assert (picture.mode, picture.metadata.icc, picture.notes) == ("RGB", ICC, ())
    with Image.open(io.BytesIO(data)) as shown:
        assert (picture.pixels == np.asarray(shown.convert("RGB"))).all()
    converted = read(data, icc="srgb")
    assert converted.metadata.icc is None
    assert read(data, icc="strip").metadata.empty
    if image.mode == "RGB" and file_format == "BMP":
        assert np.abs(converted.pixels.astype(int) - picture.pixels).max() > 5


def test_a_damaged_profile_is_refused() -> None:
    for data in (
        bmp_v5(scene(), EMBEDDED, profile=ICC[:100]),
        gif_with(scene(), 0xFF, b"ICCRGBG1012", blocks(b"no profile")),
    ):
        with pytest.raises(InputError, match=r"ICC profile is damaged; .*--icc strip"):
            read(data)
        assert read(data, icc="strip").metadata.empty


def test_xmp_of_gif_is_kept() -> None:
    """Not in blocks, as Adobe's tools write it, and in blocks, as others do."""
    xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>" + b"  words" * 90 + b"</x:xmpmeta>"
    trailer = bytes((1, *range(255, -1, -1), 0))
    for rest in (xmp + trailer, blocks(xmp)):
        picture = read(gif_with(scene(), 0xFF, b"XMP DataXMP", rest))
        assert (picture.metadata.xmp, picture.notes) == (xmp, ())


def calibration(primaries: tuple[float, ...], *gammas: float) -> bytes:
    """End points of a BMP with 30 bits behind the point, and gammas with 16."""
    points = [(x, y, 1 - x - y) for x, y in zip(primaries[::2], primaries[1::2], strict=True)]
    fixed = [round(value * (1 << 30)) for point in points for value in point]
    return struct.pack("<9i3I", *fixed, *(round(gamma * 65536) for gamma in gammas))


@pytest.mark.parametrize(
    ("colours", "curve", "primaries"),
    [
        (calibration(ADOBE_RGB[1][2:], 1.75, 1.75, 1.75), (1.75,), ADOBE_RGB[1]),
        (calibration(ADOBE_RGB[1][2:], 0, 0, 0), SRGB_CURVE, ADOBE_RGB[1]),
        # The reciprocal, as ImageMagick writes it; and gammas alone.
        (bytes(36) + struct.pack("<3I", *[65536 // 2] * 3), (2.0,), SRGB),
    ],
)
def test_calibrated_colours_of_bmp_become_a_profile(
    colours: bytes, curve: tuple[float, ...], primaries: tuple[float, ...]
) -> None:
    icc = read(bmp_v5(scene(), CALIBRATED, colours)).metadata.icc
    assert icc is not None
    expected = rgb_profile(curve, primaries)
    assert np.abs(np.frombuffer(icc, ">i4") - np.frombuffer(expected, ">i4")).max() <= 2
    ImageCms.ImageCmsProfile(io.BytesIO(icc))
    grey = read(bmp_v5(greys(), CALIBRATED, colours)).metadata.icc
    assert grey == (None if curve == SRGB_CURVE else grey_profile(curve))


@pytest.mark.parametrize(
    ("kind", "colours"),
    [
        (CALIBRATED, b""),
        (CALIBRATED, calibration(SRGB[2:], 2.2, 2.2, 2.2)),
        (b"BGRs", b""),
        (WINDOWS, calibration(ADOBE_RGB[1][2:], 1.8, 1.8, 1.8)),
    ],
)
def test_srgb_of_bmp_needs_no_profile(kind: bytes, colours: bytes) -> None:
    assert read(bmp_v5(scene(), kind, colours)).metadata.empty


@pytest.mark.parametrize(
    ("kind", "colours", "message"),
    [
        (LINKED, b"", "profile is in another file"),
        (EMBEDDED, b"", "profile is not there"),
        (CALIBRATED, calibration(SRGB[2:], 2.2, 2.2, 1.8), "different gammas"),
        (CALIBRATED, struct.pack("<9i3I", *[0] * 8, 9, 0, 0, 0), "make no sense"),
    ],
)
def test_colours_of_bmp_that_cannot_be_kept_are_refused(
    kind: bytes, colours: bytes, message: str
) -> None:
    data = bmp_v5(scene(), kind, colours)
    for options in ({}, {"icc": "srgb"}):
        with pytest.raises(InputError, match=rf"x: .*{message}.*--icc strip"):
            read(data, **options)
    assert read(data, icc="strip").metadata.empty


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize(
    ("space", "interop"), [(0xFFFF, R03), (None, R03), (2, None), (2, {1: text(b"R98")})]
)
def test_adobe_rgb_of_cameras_is_a_description_of_colours(
    file_format: str, space: int | None, interop: dict | None
) -> None:
    if file_format == "TIFF":
        nested: dict[int, object] = {COLOUR_SPACE: space} if space else {}
        nested |= {0xA005: {1: "R03"}} if interop == R03 else {}
        source = stored(scene(), "TIFF", tiffinfo={0x8769: nested})
    else:
        own = {COLOUR_SPACE: numbers(space)} if space else {}
        source = stored(scene(), file_format, exif=b"Exif\0\0" + exif({}, own, interop))
    data = source.getvalue()
    icc = rgb_profile(*ADOBE_RGB)
    picture = read(data)
    assert picture.metadata.icc == icc
    assert read(data, strip=frozenset({"exif"})).metadata.icc == icc
    converted = read(data, icc="srgb")
    expected = stored(scene(), file_format, icc_profile=icc).getvalue()
    assert (converted.pixels == read(expected, icc="srgb").pixels).all()
    assert converted.metadata.icc is None
    (note,) = read(data, strip=frozenset({"exif", "icc"})).notes
    assert note.lost
    assert "Adobe RGB" in note.text
    assert not read(data, icc="strip").notes


def test_adobe_rgb_by_its_formulas() -> None:
    image = Image.new("RGB", (16, 16), (59, 200, 60))
    block = exif({}, {COLOUR_SPACE: numbers(0xFFFF)}, R03)
    picture = read(stored(image, "PNG", exif=block).getvalue(), icc="srgb")
    assert np.abs(picture.pixels[0, 0].astype(int) - (0, 201, 37)).max() <= 1


@pytest.mark.parametrize(
    ("own", "interop"),
    [
        ({COLOUR_SPACE: numbers(1)}, {1: text(b"R98")}),
        ({COLOUR_SPACE: numbers(1)}, R03),
        ({COLOUR_SPACE: numbers(0xFFFF)}, None),
        ({COLOUR_SPACE: numbers(0xFFFF)}, {1: text(b"R98")}),
        ({}, None),
    ],
)
def test_other_words_of_exif_are_none_on_colours(own: dict, interop: dict | None) -> None:
    data = stored(scene(), "PNG", exif=exif({}, own, interop)).getvalue()
    assert read(data).metadata.icc is None


def test_other_descriptions_stand_above_exif() -> None:
    block = exif({}, {COLOUR_SPACE: numbers(0xFFFF)}, R03)
    png = stored(scene(), "PNG", exif=block)
    assert read(stored(scene(), "PNG", exif=block, icc_profile=ICC).getvalue()).metadata.icc == ICC
    for said in ((b"sRGB", b"\0"), (b"cICP", bytes([1, 13, 0, 1]))):
        assert read(with_chunk(png.getvalue(), *said).getvalue()).metadata.icc is None
    gamma = with_chunk(png.getvalue(), b"gAMA", struct.pack(">I", 50000))
    assert read(gamma.getvalue()).metadata.icc == rgb_profile((2.0,), SRGB)


def test_code_points_of_avif_stand_above_exif_where_they_say_something() -> None:
    block = exif({}, {COLOUR_SPACE: numbers(0xFFFF)}, R03)
    data = bytearray(stored(scene(), "AVIF", exif=block).getvalue())
    assert read(bytes(data)).metadata.icc is None
    at = data.index(b"nclx") + 4
    data[at : at + 4] = struct.pack(">HH", 2, 2)
    assert read(bytes(data)).metadata.icc == rgb_profile(*ADOBE_RGB)


def test_the_range_of_video_is_refused() -> None:
    png = stored(scene(), "PNG").getvalue()
    for data in (png[:33] + chunk(b"cICP", bytes([1, 13, 0, 0])) + png[33:],):
        for options in ({}, {"icc": "srgb"}):
            with pytest.raises(InputError, match="narrow range"):
                read(data, **options)
        assert read(data, icc="strip").metadata.empty
