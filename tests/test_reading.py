"""Pictures that come in: modes, alpha, frames, damage. Kept as they are, or refused with a sentence."""

from __future__ import annotations

import io
import resource
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.conftest import Pixels
from tests.pictures import chunk, shallow_png, stored, with_chunk
from vrcodec.errors import InputError, LimitError, UsageError, VrcError
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


def test_a_pixel_beyond_the_palette_is_damage(photograph: Pixels) -> None:
    data = stored(Image.fromarray(photograph).quantize(16), "PNG").getvalue()
    at = data.index(b"PLTE")
    length = struct.unpack(">I", data[at - 4 : at])[0]
    source = io.BytesIO(data[: at - 4] + chunk(b"PLTE", bytes(6)) + data[at + 8 + length :])
    with pytest.raises(InputError, match="beyond the palette"):
        read_picture(source, "x")


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
    picture = read_picture(shallow_png(values, bits, key), "x")
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


def test_an_image_in_memory_is_left_as_it_was(cut_out: Image.Image) -> None:
    indexed = cut_out.quantize(20)
    before = (indexed.mode, indexed.tobytes(), dict(indexed.info))
    picture_from_image(indexed)
    assert (indexed.mode, indexed.tobytes(), dict(indexed.info)) == before
    source = stored(indexed, "GIF", save_all=True, append_images=[cut_out.quantize(3)])
    with Image.open(source) as animation:
        picture_from_image(animation, options=ReadOptions(frame=1))
        assert animation.tell() == 0


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
