"""Pictures that come in: modes, alpha, frames. Kept as they are, or refused with a sentence."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image

from tests.conftest import Pixels
from tests.pictures import chunk, shallow_png, stored
from vrcodec.errors import InputError, LimitError, UsageError
from vrcodec.limits import Limits
from vrcodec.picture.intake.read_options import METADATA_KINDS, ReadOptions, parse_strip
from vrcodec.picture.reading import (
    open_colours,
    open_picture,
    picture_from_image,
    read_colours,
    read_picture,
)


@pytest.fixture
def cut_out(photograph: Pixels) -> Image.Image:
    """The photograph with every kind of alpha."""
    image = Image.fromarray(photograph)
    ramp = np.linspace(0, 255, photograph.shape[1]).astype(np.uint8)
    image.putalpha(Image.fromarray(np.tile(ramp, (photograph.shape[0], 1))))
    return image


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("file_format", ["PNG", "BMP", "PPM", "TIFF"])
def test_lossless_formats_come_in_unchanged(
    photograph: Pixels, mode: str, file_format: str
) -> None:
    image = Image.fromarray(photograph).convert(mode)
    picture = read_picture(stored(image, file_format), "x")
    assert (picture.mode, picture.alpha) == (mode, None)
    assert picture.metadata.empty
    assert (picture.colours() == np.asarray(image)).all()


@pytest.mark.parametrize("file_format", ["JPEG", "WEBP", "AVIF"])
def test_lossy_formats_come_in_as_pillow_decodes_them(photograph: Pixels, file_format: str) -> None:
    source = stored(Image.fromarray(photograph), file_format)
    with Image.open(io.BytesIO(source.getvalue())) as image:
        expected = np.asarray(image)
    assert (read_picture(source, "x").colours() == expected).all()


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_alpha_stands_beside_the_colours(cut_out: Image.Image, mode: str, file_format: str) -> None:
    image = cut_out.convert(mode)
    picture = read_picture(stored(image, file_format), "x")
    assert picture.mode == mode[:-1]
    assert picture.alpha is not None
    assert (picture.alpha == np.asarray(image)[..., -1]).all()
    assert (picture.pixels == np.asarray(image.convert("RGBA"))[..., :3]).all()
    assert picture.pixels.flags.c_contiguous


def test_opaque_alpha_is_alpha(photograph: Pixels) -> None:
    picture = read_picture(stored(Image.fromarray(photograph).convert("RGBA"), "WEBP"), "x")
    # WebP itself forgets alpha that is 255 everywhere, PNG does not.
    assert picture.alpha is None
    picture = read_picture(stored(Image.fromarray(photograph).convert("RGBA"), "PNG"), "x")
    assert picture.alpha is not None
    assert picture.alpha.min() == 255


def test_a_palette_is_what_it_holds(photograph: Pixels) -> None:
    indexed = Image.fromarray(photograph).quantize(50)
    for file_format in ("PNG", "GIF", "BMP", "TIFF"):
        picture = read_picture(stored(indexed, file_format), "x")
        assert picture.mode == "RGB"
        assert (picture.pixels == np.asarray(indexed.convert("RGB"))).all()
    grey = Image.fromarray(photograph).convert("L").convert("P")
    picture = read_picture(stored(grey, "PNG"), "x")
    assert picture.mode == "L"
    assert (picture.colours() == np.asarray(grey.convert("L"))).all()


def test_a_palette_may_be_transparent(photograph: Pixels) -> None:
    indexed = Image.fromarray(photograph).quantize(4)
    for given_alpha, levels in ((2, {0, 255}), (bytes([0, 90, 255, 7]), {0, 90, 255, 7})):
        picture = read_picture(stored(indexed, "PNG", transparency=given_alpha), "x")
        assert picture.alpha is not None
        assert set(np.unique(picture.alpha)) == levels
        expected = (np.asarray(indexed) == 2) == (picture.alpha == (0 if given_alpha == 2 else 255))
        assert expected.all()


def test_a_single_transparent_colour_is_alpha(photograph: Pixels) -> None:
    image = Image.fromarray(photograph)
    key = image.getpixel((3, 4))
    picture = read_picture(stored(image, "PNG", transparency=key), "x")
    assert (picture.mode, picture.alpha is not None) == ("RGB", True)
    assert ((picture.alpha == 0) == (photograph == np.array(key)).all(axis=2)).all()
    grey = read_picture(stored(image.convert("L"), "PNG", transparency=77), "x")
    assert ((grey.alpha == 0) == (grey.colours() == 77)).all()


@pytest.mark.parametrize("bits", [2, 4])
def test_few_bits_of_grey_are_stretched_and_their_key_with_them(bits: int) -> None:
    highest = (1 << bits) - 1
    values = np.tile(np.arange(highest + 1, dtype=np.uint8), (2, 1))
    key = chunk(b"tRNS", struct.pack(">H", 1))
    source = shallow_png(values, bits, key)
    with Image.open(source) as image:
        image.load()
        pictures = read_picture(source, "x"), picture_from_image(image)
    for picture in pictures:
        assert picture.mode == "L"
        assert (picture.colours() == values * (255 // highest)).all()
        assert ((picture.alpha == 0) == (values == 1)).all()


def test_bilevel_stays_bilevel(photograph: Pixels) -> None:
    image = Image.fromarray(photograph).convert("1")
    for file_format in ("PNG", "PPM", "TIFF", "BMP"):
        picture = read_picture(stored(image, file_format), "x")
        assert (picture.mode, picture.alpha) == ("1", None)
        assert (picture.pixels[..., 0] == np.asarray(image) * np.uint8(255)).all()


def test_bilevel_with_a_transparent_colour_is_grey() -> None:
    values = np.array([[0, 1, 0]], np.uint8)
    picture = read_picture(shallow_png(values, 1, chunk(b"tRNS", b"\0\0")), "x")
    assert picture.mode == "L"
    assert picture.alpha is not None
    assert picture.alpha.tolist() == [[0, 255, 0]]


@pytest.mark.parametrize("mode", ["F", "La", "RGBa", "HSV", "CMYK", "LAB"])
def test_what_has_no_place_is_refused_with_advice(mode: str) -> None:
    with pytest.raises(InputError, match=r"image: (has|is) .*; convert it to .* first"):
        picture_from_image(Image.new(mode, (9, 7)))


def test_samples_beside_the_colours_are_refused(photograph: Pixels) -> None:
    with Image.open(stored(Image.fromarray(photograph), "TIFF")) as opened:
        opened.tag_v2[277] = 4
        with pytest.raises(InputError, match="more samples a pixel"):
            picture_from_image(opened)


@pytest.mark.parametrize("file_format", ["PNG", "GIF", "TIFF", "WEBP", "AVIF", "MPO"])
def test_one_frame_of_several(photograph: Pixels, file_format: str) -> None:
    frames = [Image.fromarray(p) for p in (photograph, 255 - photograph, photograph // 2)]
    options = {"lossless": True} if file_format == "WEBP" else {"quality": 100}
    source = stored(frames[0], file_format, save_all=True, append_images=frames[1:], **options)
    with pytest.raises(InputError, match=r"several frames or pages; choose one with --frame"):
        read_picture(source, "x")
    with pytest.raises(InputError, match=r"several frames or pages; save one of them alone$"):
        read_colours(source, "x")
    for number, frame in enumerate(frames):
        picture = read_picture(source, "x", options=ReadOptions(frame=number))
        far = np.abs(picture.pixels.astype(int) - np.asarray(frame)).mean()
        assert far < (12 if file_format == "GIF" else 4)
    with pytest.raises(InputError, match=r"no frame 3; they are counted from 0"):
        read_picture(source, "x", options=ReadOptions(frame=3))


def test_a_page_is_measured_by_itself(photograph: Pixels) -> None:
    pages = [Image.fromarray(photograph[:9, :9]), Image.fromarray(photograph)]
    source = stored(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    small = Limits(max_pixels=100)
    assert read_picture(source, "x", options=ReadOptions(frame=0, limits=small)).width == 9
    with pytest.raises(LimitError, match="200x150"):
        read_picture(source, "x", options=ReadOptions(frame=1, limits=small))


def test_a_single_picture_is_its_own_frame_0(photograph: Pixels) -> None:
    source = stored(Image.fromarray(photograph), "PNG")
    assert (read_picture(source, "x", options=ReadOptions(frame=0)).pixels == photograph).all()


def test_an_image_in_memory_is_left_as_it_was(cut_out: Image.Image) -> None:
    indexed = cut_out.quantize(20)
    before = (indexed.mode, indexed.tobytes(), dict(indexed.info))
    picture_from_image(indexed)
    assert (indexed.mode, indexed.tobytes(), dict(indexed.info)) == before
    source = stored(indexed, "GIF", save_all=True, append_images=[cut_out.quantize(3)])
    with Image.open(source) as animation:
        picture_from_image(animation, options=ReadOptions(frame=1))
        assert animation.tell() == 0


def test_colours_alone(cut_out: Image.Image, tmp_path_factory: pytest.TempPathFactory) -> None:
    """For measuring and training: on white, and black and white are greys."""
    path = tmp_path_factory.mktemp("colours") / "x.png"
    exif = Image.Exif()
    exif[0x0112] = 3
    cut_out.save(path, exif=exif)
    found = open_colours(path)
    assert (found.mode, found.alpha, found.metadata.empty) == ("RGB", None, True)
    white = Image.new("RGBA", cut_out.size, "white")
    white.alpha_composite(cut_out)
    expected = np.asarray(white.convert("RGB"))[::-1, ::-1].astype(int)
    assert np.abs(found.pixels - expected).max() <= 1
    assert open_picture(path).alpha is not None
    black = stored(cut_out.convert("1"), "PNG")
    assert read_colours(black, "x").mode == "L"


def test_choices_are_checked() -> None:
    assert parse_strip(False) == frozenset()
    assert parse_strip(True) == parse_strip("all") == frozenset(METADATA_KINDS)
    assert parse_strip(["exif,xmp"]) == parse_strip(("xmp", "exif")) == {"exif", "xmp"}
    with pytest.raises(UsageError, match=r"'gps'.*all, icc, exif, xmp"):
        parse_strip("gps")
    with pytest.raises(UsageError, match="'adobe'"):
        ReadOptions(icc="adobe")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="-1"):
        ReadOptions(frame=-1)
