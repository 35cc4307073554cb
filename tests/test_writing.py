"""Decoded pictures as JPEG, WebP, AVIF, TIFF and BMP: what each keeps, and what is refused or named."""

from __future__ import annotations

import io
import struct
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageCms, features

from tests.conftest import Pixels
from vrcodec.errors import InputError, LimitError, OutputError, UsageError
from vrcodec.picture import tiff
from vrcodec.picture.intake.icc_profile import SRGB_CURVE, grey_profile, rgb_profile
from vrcodec.picture.metadata import EXIF_PREFIX, Metadata
from vrcodec.picture.output_formats import FORMATS, OutputFormat, WriteOptions
from vrcodec.picture.picture import Picture
from vrcodec.picture.reading import read_picture
from vrcodec.picture.writing import (
    check_size,
    flatten_picture,
    serialise_picture,
    unsupported_metadata,
)

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>\xff< not all of XMP is UTF-8'
# Formats and qualities without loss.
EXACT: list[tuple[OutputFormat, int | None]] = [
    ("png", None),
    ("tiff", None),
    ("webp", None),
    ("webp", 100),
    ("bmp", None),
]


def exif_block(order: str = "<", *, thumbnail: bool = False) -> bytes:
    """A maker, an orientation, and a directory of EXIF with a comment that is no ASCII; then maker's notes."""
    comment, maker = b"gr\xc3\xbc\xc3\x9fe\0", b"maker\0"
    # Header 8, directory 2 + 3 * 12 + 4, maker 6, inner directory 2 + 12 + 4, comment.
    inner, values = 8 + 42 + 6, 8 + 42
    entries = struct.pack(order + "HHII", 0x010F, 2, len(maker), values)
    entries += struct.pack(order + "HHIHH", 0x0112, 3, 1, 1, 0)
    entries += struct.pack(order + "HHII", 0x8769, 4, 1, inner)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, 3)
    following = struct.pack(order + "I", inner if thumbnail else 0)
    nested = struct.pack(order + "HHHII", 1, 0x9286, 7, len(comment), inner + 18)
    return head + entries + following + maker + nested + bytes(4) + comment + b"maker's notes"


def described(picture: Picture, exif: bytes | None = None) -> Picture:
    """The picture with metadata of each kind, that fit its samples."""
    icc = SRGB if picture.mode == "RGB" else None
    return replace(picture, metadata=Metadata(icc, exif or exif_block(), XMP))


def read_back(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def exif_of(image: Image.Image) -> bytes:
    """As it stands in the file: Pillow puts a prefix before that of some formats."""
    return bytes(image.info["exif"]).removeprefix(EXIF_PREFIX)


samples = st.tuples(
    st.integers(1, 9), st.integers(1, 40), st.sampled_from([0, 1, 2, 3, 4])
).flatmap(
    lambda s: (
        arrays(np.bool_, s[:2])
        if s[2] == 0
        else arrays(np.uint8, s[:2] if s[2] == 1 else (s[0], s[1], s[2]))
    )
)


@given(array=samples, case=st.sampled_from(EXACT))
def test_formats_without_loss_have_the_samples(
    array: npt.NDArray[np.uint8], case: tuple[OutputFormat, int | None]
) -> None:
    output, quality = case
    picture = Picture.from_array(array)
    if not FORMATS[output].alpha:
        picture = flatten_picture(picture, output)
    image = read_back(serialise_picture(picture, WriteOptions(output, quality)))
    expected = picture.to_image()
    assert image.mode == expected.mode or output == "webp"
    # WebP has RGB alone; grey and bilevel are equal in it.
    wider = "RGBA" if picture.alpha is not None else "RGB"
    assert (np.asarray(image.convert(wider)) == np.asarray(expected.convert(wider))).all()
    again = read_picture(io.BytesIO(serialise_picture(picture, WriteOptions(output, quality))), "x")
    assert (again.to_rgb() == picture.to_rgb()).all()
    assert picture.alpha is None or (again.alpha == picture.alpha).all()


@pytest.mark.parametrize("output", ["jpeg", "webp", "avif"])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA"])
def test_lossy_formats_are_near_and_keep_alpha(
    photograph: Pixels, output: OutputFormat, mode: str
) -> None:
    image = Image.fromarray(photograph).convert(mode)
    if "A" in mode:
        image.putalpha(Image.fromarray(np.arange(30000).reshape(150, 200).astype(np.uint8) | 1))
    picture = Picture.from_array(np.asarray(image))
    if output == "jpeg":
        picture = flatten_picture(picture, output)
    sizes = []
    for quality in (20, 95):
        content = serialise_picture(picture, WriteOptions(output, quality))
        sizes.append(len(content))
        again = read_picture(io.BytesIO(content), "x")
        if picture.alpha is not None:
            assert (again.alpha == picture.alpha).all()
    assert sizes[0] < sizes[1]
    error = again.to_rgb().astype(float) - picture.to_rgb()
    assert np.sqrt(np.square(error).mean()) < 3


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("output", ["png", "jpeg", "webp", "avif"])
@pytest.mark.parametrize("grey", [False, True])
def test_metadata_come_back_byte_for_byte(
    photograph: Pixels, output: OutputFormat, grey: bool, order: str
) -> None:
    picture = Picture.from_array(photograph[..., 1] if grey else photograph)
    picture = described(picture, exif_block(order))
    image = read_back(serialise_picture(picture, WriteOptions(output)))
    assert exif_of(image) == exif_block(order)
    assert image.info["xmp"] == XMP
    assert image.info.get("icc_profile") == picture.metadata.icc
    assert unsupported_metadata(picture, output) == []


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA"])
def test_tiff_has_what_exif_says(photograph: Pixels, mode: str, order: str) -> None:
    image = Image.fromarray(photograph).convert(mode)
    picture = described(Picture.from_array(np.asarray(image)), exif_block(order))
    content = serialise_picture(picture, WriteOptions("tiff"))
    # The comment is neither cut nor replaced, and what a maker points to is where it was.
    assert content[8 : len(exif_block())] == exif_block(order)[8:]
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        (page,) = file.pages
        assert (page.asarray() == picture.to_array()).all()
        assert page.tags[271].value == "maker"
        assert page.tags[274].value == 1
        assert page.tags[700].value == XMP
        assert ("InterColorProfile" in page.tags) == (picture.metadata.icc is not None)
        assert page.predictor == (1 if mode == "1" else 2)
    again = read_picture(io.BytesIO(content), "x")
    assert again.metadata.icc == picture.metadata.icc
    assert again.metadata.xmp == XMP
    block = Image.Exif()
    block.load(again.metadata.exif or b"")
    assert block[0x010F] == "maker"
    assert block.get_ifd(0x8769)[0x9286] == b"gr\xc3\xbc\xc3\x9fe\0"
    assert unsupported_metadata(picture, "tiff") == []


@pytest.mark.parametrize("channels", [1, 4])
def test_a_tiff_of_many_strips(channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(channels)
    array = generator.integers(0, 256, (700, 901, channels)[: 2 + (channels > 1)], dtype=np.uint8)
    picture = Picture.from_array(array)
    content = serialise_picture(picture, WriteOptions("tiff"))
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        assert len(file.pages[0].dataoffsets) > 1
        assert (file.pages[0].asarray() == picture.to_array()).all()
    assert (np.asarray(read_back(content)) == picture.to_array()).all()
    monkeypatch.setattr(tiff, "_MAX_BYTES", len(content) - 1)
    with pytest.raises(LimitError, match="--crop"):
        serialise_picture(picture, WriteOptions("tiff"))


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@given(cut=st.integers(-8, 70), position=st.integers(0, 69), value=st.integers(0, 255))
def test_damaged_exif_spoils_no_file(cut: int, position: int, value: int) -> None:
    exif = bytearray(exif_block())
    exif[position] = value
    picture = replace(
        Picture.from_array(np.zeros((3, 4), np.uint8)),
        metadata=Metadata(exif=bytes(exif[: 8 + cut]) or None),
    )
    for output in ("tiff", "avif", "jpeg", "webp"):
        content = serialise_picture(picture, WriteOptions(output))
        image = read_back(content)
        assert not np.asarray(image).any()
        if unsupported_metadata(picture, output):
            assert "exif" not in image.info
        elif output != "tiff" and picture.metadata.exif:
            assert exif[: 8 + cut] in content
            # Of AVIF, Pillow corrects the orientation as it reads.
            assert output == "avif" or exif_of(image) == exif[: 8 + cut]


def test_tiff_says_what_it_loses_of_exif() -> None:
    grey = Picture.from_array(np.zeros((3, 4), np.uint8))
    for exif, lost in (
        (exif_block()[:30], ["EXIF data that is damaged"]),
        (exif_block(thumbnail=True), ["the thumbnail of EXIF data"]),
    ):
        assert unsupported_metadata(described(grey, exif), "tiff") == lost


def test_what_jpeg_has_no_room_for_is_named() -> None:
    picture = described(Picture.from_array(np.zeros((3, 4), np.uint8)))
    fits = Metadata(None, exif_block().ljust(65527), XMP.ljust(65504))
    long = Metadata(None, exif_block().ljust(65528), XMP.ljust(65505))
    image = read_back(serialise_picture(replace(picture, metadata=fits), WriteOptions("jpeg")))
    assert exif_of(image) == fits.exif
    assert image.info["xmp"] == fits.xmp
    picture = replace(picture, metadata=long)
    lost = ["EXIF data of 65528 bytes", "XMP data of 65505 bytes"]
    assert unsupported_metadata(picture, "jpeg") == lost
    image = read_back(serialise_picture(picture, WriteOptions("jpeg")))
    assert not {"exif", "xmp"} & set(image.info)


@given(colour=st.integers(0, 255), alpha=st.integers(0, 255))
def test_alpha_is_laid_on_white_to_the_nearest_value(colour: int, alpha: int) -> None:
    for channels, mode in ((1, "L"), (3, "RGB")):
        array = np.full((2, 2, channels + 1), colour, np.uint8)
        array[..., -1] = alpha
        flat = flatten_picture(Picture.from_array(array), "jpeg")
        assert (flat.alpha, flat.mode) == (None, mode)
        assert (flat.pixels == round((colour * alpha + 255 * (255 - alpha)) / 255)).all()


@pytest.mark.parametrize("output", ["jpeg", "bmp", "ppm"])
def test_alpha_is_refused_where_it_has_no_place(output: OutputFormat) -> None:
    picture = Picture.from_array(np.zeros((2, 3, 4), np.uint8))
    with pytest.raises(UsageError, match=r"alpha.*--flatten"):
        serialise_picture(picture, WriteOptions(output))
    image = read_back(serialise_picture(flatten_picture(picture, output), WriteOptions(output)))
    assert (np.asarray(image) == 255).all()


def test_a_profile_is_refused_or_applied_where_it_has_no_place() -> None:
    array = np.arange(24, dtype=np.uint8).reshape(2, 4, 3) * 10
    # Red and green of sRGB, one for the other.
    swapped = rgb_profile(SRGB_CURVE, (0.3127, 0.329, 0.3, 0.6, 0.64, 0.33, 0.15, 0.06))
    picture = replace(Picture.from_array(array), metadata=Metadata(icc=swapped))
    with pytest.raises(UsageError, match=r"ICC profile.*--flatten"):
        serialise_picture(picture, WriteOptions("bmp"))
    flat = flatten_picture(picture, "bmp")
    assert flat.metadata.icc is None
    assert np.abs(flat.pixels[..., [1, 0, 2]].astype(int) - array).max() <= 1
    # A format that has room for it has it, whatever else is asked for.
    assert flatten_picture(picture, "jpeg").metadata.icc == swapped
    damaged = replace(picture, metadata=Metadata(icc=bytes(200)))
    with pytest.raises(InputError, match="profile"):
        flatten_picture(damaged, "bmp")


@pytest.mark.parametrize("output", ["webp", "avif"])
def test_a_profile_for_grey_does_not_fit_rgb(output: OutputFormat) -> None:
    icc = grey_profile((1.8,))
    picture = replace(Picture.from_array(np.zeros((2, 3), np.uint8)), metadata=Metadata(icc=icc))
    with pytest.raises(UsageError, match="ICC profile"):
        serialise_picture(picture, WriteOptions(output))
    assert read_back(serialise_picture(picture, WriteOptions("jpeg"))).info["icc_profile"] == icc


@pytest.mark.parametrize(("output", "side"), [("webp", 16383), ("jpeg", 65500), ("avif", 32768)])
def test_sides_are_limited(output: OutputFormat, side: int) -> None:
    for shape in ((1, side), (side, 1)):
        content = serialise_picture(
            Picture.from_array(np.ones(shape, np.uint8)), WriteOptions(output)
        )
        assert read_back(content).size == shape[::-1]
    for shape in ((1, side + 1), (side + 1, 1)):
        with pytest.raises(LimitError, match=str(side)):
            serialise_picture(Picture.from_array(np.ones(shape, np.uint8)), WriteOptions(output))
    check_size(1 << 20, 1 << 20, "png")


def test_a_quality_is_for_lossy_formats() -> None:
    for output, held in FORMATS.items():
        if held.quality is not None:
            assert WriteOptions(output, 1).quality == 1
            continue
        with pytest.raises(UsageError, match="jpeg, webp, avif"):
            WriteOptions(output, 90)


def test_what_pillow_was_built_without_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "check", lambda feature: feature != "avif")
    with pytest.raises(UsageError, match="Pillow"):
        WriteOptions("avif")
    assert WriteOptions("webp").suffix == ".webp"


def test_a_failure_of_an_encoder_is_an_error_with_a_sentence(
    monkeypatch: pytest.MonkeyPatch, photograph: Pixels
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("Failed to encode image: Out of memory")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OutputError, match=r"avif.*Out of memory"):
        serialise_picture(Picture(photograph), WriteOptions("avif"))
