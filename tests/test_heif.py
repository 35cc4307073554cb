"""HEIC and other HEIF pictures, made by the package that reads them."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

import vrcodec
from tests.pictures import exif_with, gradients
from vrcodec.errors import InputError, LimitError
from vrcodec.limits import Limits
from vrcodec.picture.intake.colour_description import rgb_profile
from vrcodec.picture.intake.icc_profile import SRGB_CURVE
from vrcodec.picture.intake.read_options import ReadOptions
from vrcodec.picture.picture import Picture
from vrcodec.picture.reading import picture_from_image, read_colours, read_picture

pillow_heif = pytest.importorskip("pillow_heif", reason="needs vrcodec[heif]")

REDUCED = ReadOptions(reduce_depth=True)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
DISPLAY_P3 = (0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)


def heic(*images: Image.Image, **options: object) -> io.BytesIO:
    """A file of ``images`` without loss, but for what the change of colour space rounds."""
    file = pillow_heif.HeifFile()
    for image in images:
        file.add_from_pillow(image)
    buffer = io.BytesIO()
    file.save(buffer, quality=-1, chroma=444, **options)
    buffer.seek(0)
    return buffer


def deep_heic(mode: str, samples: np.ndarray, bits: int) -> io.BytesIO:
    """Samples of 16 bits, of which ``bits`` are kept."""
    buffer = io.BytesIO()
    file = pillow_heif.from_bytes(mode, samples.shape[1::-1], samples.tobytes())
    file.save(buffer, quality=-1, chroma=444, bit_depth=bits)
    buffer.seek(0)
    return buffer


def assert_close(picture: Picture, image: Image.Image) -> None:
    expected = np.asarray(image.convert("RGB")).astype(int)
    assert picture.pixels.shape == expected.shape
    assert np.abs(picture.pixels - expected).max() <= 2


@pytest.mark.parametrize("size", [(64, 48), (63, 47), (5, 3)])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_samples(mode: str, size: tuple[int, int]) -> None:
    """Odd sizes are cut from larger ones, by a clean aperture."""
    image = gradients(mode, *size)
    picture = read_picture(heic(image), "x")
    assert picture.mode == mode
    assert_close(picture, image)
    assert picture.metadata.icc is None


def test_a_clean_aperture_cuts() -> None:
    data = heic(gradients("RGB", 63, 47)).getvalue()
    at = data.index(b"clap") + 4
    cut = read_picture(io.BytesIO(data[:at] + struct.pack(">II", 31, 1) + data[at + 8 :]), "x")
    # In the middle: 16 columns from the left.
    assert_close(cut, gradients("RGB", 63, 47).crop((16, 0, 47, 47)))


def test_alpha() -> None:
    picture = read_picture(heic(gradients("RGBA")), "x")
    assert picture.alpha is not None
    assert np.abs(picture.alpha.astype(int) - np.asarray(gradients("RGBA"))[..., 3]).max() <= 2
    buffer = io.BytesIO()
    file = pillow_heif.from_bytes("RGBa", (64, 48), gradients("RGBA").tobytes())
    file.save(buffer, quality=-1)
    with pytest.raises(InputError, match="premultiplied alpha"):
        read_picture(buffer, "x")


@pytest.mark.parametrize("bits", [10, 12])
@pytest.mark.parametrize("mode", ["L;16", "RGB;16", "RGBA;16"])
def test_more_than_8_bits(mode: str, bits: int) -> None:
    channels = {"L;16": 1, "RGB;16": 3, "RGBA;16": 4}[mode]
    samples = np.random.default_rng(7).integers(0, 65536, (48, 64, channels), dtype=np.uint16)
    source = deep_heic(mode, samples, bits)
    with pytest.raises(InputError, match=r"more than 8 bits .*--reduce-depth"):
        read_picture(source, "x")
    file = pillow_heif.open_heif(source, convert_hdr_to_8bit=False, hdr_to_16bit=False)
    expected = np.floor(np.asarray(file[0]).reshape(48, 64, -1) / (2**bits - 1) * 255 + 0.5)
    picture = read_picture(source, "x", options=REDUCED)
    parts = [picture.pixels[..., : min(channels, 3)]]
    if picture.alpha is not None:
        parts.append(picture.alpha[..., None])
    assert (np.concatenate(parts, axis=2) == expected).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_is_turned_once(orientation: int) -> None:
    """By the boxes; EXIF and XMP, which say the same, then say 1 or nothing."""
    exif = exif_with(orientation)
    xmp = b'<x:xmpmeta tiff:Orientation="%d" a:b="c"/>' % orientation
    image = gradients()
    options = {"quality": -1, "chroma": 444, "exif": exif, "xmp": xmp}
    buffer = io.BytesIO()
    pillow_heif.encode("RGB", image.size, image.tobytes(), buffer, **options)
    picture = read_picture(buffer, "x")
    image.getexif()[0x112] = orientation
    assert_close(picture, ImageOps.exif_transpose(image))
    assert picture.metadata.exif == exif_with(1)[6:]
    kept = picture.metadata.xmp or b""
    assert b'a:b="c"' in kept
    assert b"Orientation" not in kept.replace(b'Orientation="1"', b"")


def test_metadata_are_kept_or_stripped() -> None:
    exif, xmp = exif_with(1), b"<x:xmpmeta/>"
    source = heic(gradients(), exif=exif, xmp=xmp, icc_profile=SRGB)
    metadata = read_picture(source, "x").metadata
    assert (metadata.exif, metadata.xmp, metadata.icc) == (exif[6:], xmp, SRGB)
    stripped = ReadOptions(strip=frozenset(("exif", "xmp", "icc")))
    metadata = read_picture(source, "x", options=stripped).metadata
    assert (metadata.exif, metadata.xmp, metadata.icc) == (None, None, None)


def test_colours_by_code_points() -> None:
    colours = {"color_primaries": 12, "transfer_characteristics": 13, "matrix_coefficients": 6}
    source = heic(gradients(), **colours, full_range_flag=1)
    kept = read_picture(source, "x")
    assert kept.metadata.icc == rgb_profile(SRGB_CURVE, DISPLAY_P3)
    converted = read_picture(source, "x", options=ReadOptions(icc="srgb"))
    assert converted.metadata.icc is None
    assert np.abs(converted.pixels.astype(int) - kept.pixels).max() > 5


@pytest.mark.parametrize(("transfer", "word"), [(16, "PQ"), (18, "HLG")])
def test_high_dynamic_range_is_refused(transfer: int, word: str) -> None:
    colours = {"color_primaries": 9, "transfer_characteristics": transfer}
    source = heic(gradients(), **colours, matrix_coefficients=9, full_range_flag=1)
    with pytest.raises(InputError, match=rf"dynamic range \({word}\)"):
        read_picture(source, "x")
    read_picture(source, "x", options=ReadOptions(icc="strip"))


def test_several_pictures() -> None:
    second = gradients("L", 32, 24)
    source = heic(gradients(), second)
    with pytest.raises(InputError, match="several frames"):
        read_picture(source, "x")
    assert_close(read_picture(source, "x", options=ReadOptions(frame=0)), gradients())
    assert_close(read_picture(source, "x", options=ReadOptions(frame=1)), second)
    with pytest.raises(InputError, match="no frame 2"):
        read_picture(source, "x", options=ReadOptions(frame=2))


def test_thumbnails_and_hidden_pictures_are_none_of_several() -> None:
    assert_close(read_picture(heic(gradients(), thumbnails=[32]), "x"), gradients())
    data = heic(gradients(), gradients("L", 32, 24)).getvalue()
    last = data.rindex(b"infe")
    hidden = data[: last + 7] + b"\1" + data[last + 8 :]
    assert_close(read_picture(io.BytesIO(hidden), "x"), gradients())


@pytest.mark.parametrize("part", [0.02, 0.1, 0.3, 0.5, 0.9, 0.99])
def test_damage_is_an_input_error(part: float) -> None:
    data = heic(gradients()).getvalue()
    with pytest.raises(InputError, match="damaged"):
        read_picture(io.BytesIO(data[: max(40, int(part * len(data)))]), "x")


def test_the_limit_holds_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pillow_heif.HeifImageFile, "load", None)
    with pytest.raises(LimitError, match="64x48"):
        read_picture(heic(gradients()), "x", options=ReadOptions(limits=Limits(max_pixels=3000)))


@pytest.mark.parametrize("loaded", [True, False])
def test_an_image_that_the_caller_has_opened(loaded: bool) -> None:
    exif = exif_with(6)
    buffer = io.BytesIO()
    image = gradients()
    pillow_heif.encode("RGB", image.size, image.tobytes(), buffer, quality=-1, exif=exif)
    opened = pillow_heif.HeifImageFile(buffer)
    if loaded:
        opened.load()
    assert (picture_from_image(opened).pixels == read_picture(buffer, "x").pixels).all()
    deep = np.full((48, 64, 3), 40000, np.uint16)
    opened = pillow_heif.HeifImageFile(deep_heic("RGB;16", deep, 10))
    if loaded:
        opened.load()
    with pytest.raises(InputError, match="more than 8 bits"):
        picture_from_image(opened)
    assert picture_from_image(opened, options=REDUCED).pixels.shape == (48, 64, 3)


def test_for_measuring() -> None:
    colours = read_colours(heic(gradients("RGBA")), "x")
    assert colours.alpha is None
    assert colours.pixels.shape == (48, 64, 3)


def test_the_command_and_python(tmp_path: Path, run: Callable[..., int]) -> None:
    """By content, whatever the name; in a folder by its suffix."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.heic", "b.HIF", "c.jpg"):
        (folder / name).write_bytes(heic(gradients()).getvalue())
    assert run("encode", folder, "-o", tmp_path / "out", "--jobs", "1") == 0
    assert len(list((tmp_path / "out").glob("*.vrc"))) == 3
    assert vrcodec.decode(vrcodec.encode(folder / "a.heic")).size == (64, 48)


def test_layers_and_videos_are_told() -> None:
    """As telephones write them: a gain map in place of alpha, and the video of a motion photo behind it."""
    image = gradients()
    image.putalpha(image.getchannel(0))
    data = heic(image).getvalue()
    assert read_picture(io.BytesIO(data), "x").notes == ()
    alpha = re.search(rb"urn:mpeg:[\w:]*(alpha|auxid:1)\0", data)
    assert alpha is not None
    depth = b"urn:mpeg:hevc:2015:auxid:2".ljust(len(alpha[0]), b"\0")
    video = struct.pack(">I4s", 16, b"mpvd") + bytes(8)
    told = read_picture(io.BytesIO(data.replace(alpha[0], depth) + video), "x").notes
    assert [note.text for note in told] == [
        "left out: a layer, such as a depth map; the video of a motion photo (16 bytes)"
    ]
