"""What goes in: kept as it is, or refused with a sentence; never changed in silence."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from tests.conftest import Pixels
from vrcodec.errors import InputError, LimitError
from vrcodec.limits import Limits
from vrcodec.picture import Picture, serialise_picture
from vrcodec.reading import picture_from_image, read_picture


def stored(image: Image.Image, file_format: str, **options: object) -> io.BytesIO:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    buffer.seek(0)
    return buffer


def deep_png() -> io.BytesIO:
    """A 16-bit RGB PNG, which Pillow cannot write and reads as 8 bits."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    rows = b"".join(b"\0" + bytes(6 * 4) for _ in range(3))
    header = struct.pack(">IIBBBBB", 4, 3, 16, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return io.BytesIO(b"\x89PNG\r\n\x1a\n" + chunks)


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("file_format", ["PNG", "BMP", "PPM", "TIFF"])
def test_lossless_formats_come_in_unchanged(
    photograph: Pixels, mode: str, file_format: str
) -> None:
    image = Image.fromarray(photograph).convert(mode)
    picture = read_picture(stored(image, file_format), "x")
    assert picture.mode == mode
    assert (picture.to_array() == np.asarray(image)).all()


@pytest.mark.parametrize("file_format", ["JPEG", "WEBP", "AVIF"])
def test_lossy_formats_come_in_as_pillow_decodes_them(photograph: Pixels, file_format: str) -> None:
    source = stored(Image.fromarray(photograph), file_format)
    with Image.open(io.BytesIO(source.getvalue())) as image:
        expected = np.asarray(image)
    assert (read_picture(source, "x").to_array() == expected).all()


@pytest.mark.parametrize("mode", ["1", "P", "LA", "RGBA", "I;16"])
def test_other_modes_are_refused(mode: str) -> None:
    with pytest.raises(InputError, match=r"x: (has|is) .*first"):
        read_picture(stored(Image.new(mode, (9, 7)), "PNG"), "x")


@pytest.mark.parametrize("mode", ["CMYK", "F", "LAB", "I"])
def test_modes_of_tiff_are_refused(mode: str) -> None:
    with pytest.raises(InputError, match=r"x: (has|is) .*first"):
        read_picture(stored(Image.new(mode, (9, 7)), "TIFF"), "x")


def test_samples_that_pillow_would_cut_to_8_bits_are_refused() -> None:
    with Image.open(deep_png()) as image:
        assert image.mode == "RGB", "Pillow now keeps 16 bits: the check can be simpler"
    with pytest.raises(InputError, match="more than 8 bits"):
        read_picture(deep_png(), "x")
    ppm = b"P6 2 1 65535\n" + bytes(12)
    with pytest.raises(InputError, match="more than 8 bits"):
        read_picture(io.BytesIO(ppm), "x")


def test_a_single_transparent_colour_is_alpha() -> None:
    source = stored(Image.new("RGB", (4, 4)), "PNG", transparency=(0, 0, 0))
    with pytest.raises(InputError, match="alpha"):
        read_picture(source, "x")


def test_animations_are_refused(photograph: Pixels) -> None:
    frames = [Image.fromarray(photograph), Image.fromarray(255 - photograph)]
    source = stored(frames[0], "PNG", save_all=True, append_images=frames[1:])
    with pytest.raises(InputError, match="several frames"):
        read_picture(source, "x")


@pytest.mark.parametrize("what", ["an ICC profile", "EXIF data", "XMP data"])
def test_metadata_is_refused_or_stripped_on_request(photograph: Pixels, what: str) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x010E] = "a description"
    options = {
        "an ICC profile": {"icc_profile": profile},
        "EXIF data": {"exif": exif},
        "XMP data": {"xmp": b"<x:xmpmeta/>"},
    }[what]
    source = stored(Image.fromarray(photograph), "JPEG", quality=95, **options)
    with pytest.raises(InputError, match=f"{what}.*--strip"):
        read_picture(source, "x")
    source.seek(0)
    assert read_picture(source, "x", strip=True).width == photograph.shape[1]
    source.seek(0)
    with Image.open(source) as image, pytest.raises(InputError, match=what):
        picture_from_image(image)


def test_a_gamma_of_its_own_is_metadata(photograph: Pixels) -> None:
    data = stored(Image.fromarray(photograph), "PNG").getvalue()
    for gamma, kept in ((45455, True), (100000, False)):
        body = b"gAMA" + struct.pack(">I", gamma)
        chunk = struct.pack(">I", 4) + body + struct.pack(">I", zlib.crc32(body))
        source = io.BytesIO(data[:33] + chunk + data[33:])
        if kept:
            assert read_picture(source, "x").mode == "RGB"
            continue
        with pytest.raises(InputError, match="gamma"):
            read_picture(source, "x")
        source.seek(0)
        assert read_picture(source, "x", strip=True).mode == "RGB"


def test_metadata_behind_the_samples_counts(photograph: Pixels) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = stored(Image.fromarray(photograph), "PNG", exif=exif).getvalue()
    start = data.index(b"eXIf") - 4
    end = start + 12 + struct.unpack(">I", data[start : start + 4])[0]
    moved = data[:start] + data[end:-12] + data[start:end] + data[-12:]
    with pytest.raises(InputError, match="EXIF"):
        read_picture(io.BytesIO(moved), "x")


def test_samples_beside_the_colours_are_refused(photograph: Pixels) -> None:
    for tag, value in ((277, 4), (258, 16)):
        with Image.open(stored(Image.fromarray(photograph), "TIFF")) as opened:
            opened.tag_v2[tag] = value
            with pytest.raises(InputError, match=r"samples|bits"):
                picture_from_image(opened)


def test_images_in_memory_meet_the_same_checks(photograph: Pixels) -> None:
    with Image.open(deep_png()) as image, pytest.raises(InputError, match="8 bits"):
        picture_from_image(image)
    data = stored(Image.fromarray(photograph), "JPEG").getvalue()[:3000]
    with Image.open(io.BytesIO(data)) as image, pytest.raises(InputError, match="damaged"):
        picture_from_image(image)


def test_stripping_turns_the_picture_upright(photograph: Pixels) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    source = stored(Image.fromarray(photograph), "PNG", exif=exif)
    upright = read_picture(source, "x", strip=True)
    assert (upright.pixels == np.rot90(photograph, -1)).all()


@pytest.mark.parametrize("cut", [0, 1, 20, 60, 2000])
def test_damaged_pictures_are_refused(photograph: Pixels, cut: int) -> None:
    for file_format in ("PNG", "JPEG"):
        data = stored(Image.fromarray(photograph), file_format).getvalue()[:cut]
        with pytest.raises(InputError, match="x: "):
            read_picture(io.BytesIO(data), "x")


def test_the_pixel_limit_is_ours() -> None:
    large = Image.new("L", (3000, 2000))
    with pytest.raises(LimitError, match="3000x2000"):
        read_picture(stored(large, "PNG"), "x", limits=Limits(max_pixels=5_999_999))
    before = Image.MAX_IMAGE_PIXELS
    try:
        Image.MAX_IMAGE_PIXELS = 100
        assert read_picture(stored(large, "PNG"), "x").width == 3000
        assert Image.MAX_IMAGE_PIXELS == 100
    finally:
        Image.MAX_IMAGE_PIXELS = before


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 2), np.float32),
        np.zeros((2, 2, 5), np.uint8),
        np.zeros((2, 2, 3), np.bool_),
        np.zeros((0, 2, 3), np.uint8),
        np.zeros(4, np.uint8),
    ],
)
def test_arrays_of_other_kinds_are_refused(array: np.ndarray) -> None:
    with pytest.raises(InputError):
        Picture.from_array(array)


@pytest.mark.parametrize("grey", [False, True])
def test_output_formats_hold_the_same_samples(photograph: Pixels, grey: bool) -> None:
    array = photograph[..., 0].copy() if grey else photograph
    picture = Picture.from_array(array)
    for output in ("png", "ppm"):
        with Image.open(io.BytesIO(serialise_picture(picture, output))) as image:
            assert image.mode == ("L" if grey else "RGB")
            assert (np.asarray(image) == array).all()
    assert (np.load(io.BytesIO(serialise_picture(picture, "npy"))) == array).all()


def test_grey_is_the_rounded_mean_of_the_channels() -> None:
    pixels = np.array([[[1, 1, 2], [1, 2, 2], [255, 255, 255]]], np.uint8)
    assert Picture(pixels, "L").to_array().tolist() == [[1, 2, 255]]


def test_oddballs_never_crash() -> None:
    """Strange files of every kind: a picture or an InputError (see VRCODEC_ODDBALLS in README)."""
    folder = os.environ.get("VRCODEC_ODDBALLS", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("no folder of odd pictures: set VRCODEC_ODDBALLS")
    outcomes = []
    for path in sorted(p for p in Path(folder).iterdir() if p.suffix not in (".tsv", "")):
        try:
            with path.open("rb") as file:
                outcomes.append(
                    read_picture(file, path.name, limits=Limits(max_pixels=1 << 24)).mode
                )
        except (InputError, LimitError) as error:
            assert str(error).startswith(path.name)
            outcomes.append("refused")
    assert {"RGB", "L", "refused"} <= set(outcomes)
