"""EXIF, XMP and which way up: kept byte for byte but for the orientation, which is applied once."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps, TiffImagePlugin

import vrcodec
from tests.conftest import Pixels
from tests.pictures import chunk, deep_tiff, stored, with_chunk
from vrcodec.errors import InputError, LimitError
from vrcodec.picture.intake.exif_block import ExifBlock
from vrcodec.picture.intake.orientation import (
    reset_exif_orientation,
    reset_xmp_orientation,
    rotate_upright,
)
from vrcodec.picture.intake.read_options import ReadOptions
from vrcodec.picture.metadata import Metadata
from vrcodec.picture.picture import Picture
from vrcodec.picture.reading import picture_from_image, read_picture
from vrcodec.picture.tiff import build_tiff

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF")
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Make="x" tiff:Orientation="%d" '
    b'xmp:Rating="6"/></x:xmpmeta>'
)


def exif_block(orientation: int, order: str = "<", kind: int = 3) -> bytes:
    """A maker and an orientation, SHORT or LONG, and something behind the directory."""
    packed = struct.pack(order + ("HH" if kind == 3 else "I"), *((orientation, 0)[: 6 - kind - 1]))
    entries = struct.pack(order + "HHI4s", 0x010F, 2, 4, b"abc\0")
    entries += struct.pack(order + "HHI", 0x0112, kind, 1) + packed
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, 2)
    return head + entries + bytes(4) + b"maker's notes"


def gradient() -> Image.Image:
    """A picture whose corners differ, not square."""
    rows, columns = np.mgrid[0:24, 0:40]
    return Image.fromarray(np.stack((rows * 9, columns * 6, 0 * rows), axis=2).astype(np.uint8))


def oriented(file_format: str, **metadata: bytes) -> io.BytesIO:
    return stored(gradient(), file_format, quality=100, **metadata)


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_is_applied_and_said_to_be_1(file_format: str, orientation: int) -> None:
    exif = exif_block(orientation)
    source = oriented(file_format, exif=b"Exif\0\0" + exif)
    with Image.open(source) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    source.seek(0)
    picture = read_picture(source, "x")
    assert (picture.pixels == expected).all()
    if file_format != "AVIF":
        # libavif moves the orientation to boxes, and Pillow writes a new block for it.
        assert picture.metadata.exif == exif_block(1)
    assert picture.metadata.exif is not None
    assert reset_exif_orientation(picture.metadata.exif)[1] in (1, None)


@pytest.mark.parametrize("file_format", [*FORMATS, "TIFF"])
def test_the_orientation_is_neither_lost_nor_doubled(file_format: str, tmp_path: Path) -> None:
    """From a file to a .vrc file, to files of other formats, which any viewer turns as they say."""
    path = tmp_path / f"x.{file_format.lower()}"
    exif = Image.Exif()
    exif.load(exif_block(6))
    gradient().save(path, exif=exif, **({"xmp": XMP % 6} if file_format == "JPEG" else {}))
    decoded = vrcodec.decode(vrcodec.encode(path, 1.0))
    upright = np.rot90(np.asarray(gradient()), -1).astype(int)
    for written in ("PNG", "JPEG", "WEBP"):
        kept = {key: decoded.info[key] for key in ("exif", "xmp") if decoded.info.get(key)}
        with Image.open(stored(decoded, written, **kept)) as image:
            shown = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
        assert shown.shape == upright.shape
        # The tiny model is a poor one: 26, and from 46 on where it is turned or mirrored.
        assert np.abs(shown - upright).mean() < 36


@pytest.mark.parametrize("orientation", range(2, 9))
def test_alpha_turns_with_the_colours(orientation: int) -> None:
    image = gradient()
    image.putalpha(image.getchannel(1))
    picture = read_picture(stored(image, "PNG", exif=exif_block(orientation)), "x")
    assert picture.alpha is not None
    assert (picture.alpha == picture.pixels[..., 1]).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turning_is_what_pillow_does(orientation: int) -> None:
    image = gradient()
    image.getexif()[0x0112] = orientation
    assert (rotate_upright(np.asarray(image), orientation) == ImageOps.exif_transpose(image)).all()


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_a_tiff_is_turned_once(orientation: int) -> None:
    made, exif = Image.Exif(), Image.Exif()
    made[0x0112], made[0x010F] = orientation, "maker"
    made[0x8769] = {0x9003: "2026:01:01 00:00:00"}
    exif.load(made.tobytes())
    source = stored(gradient(), "TIFF", exif=exif)
    with Image.open(source) as image:
        expected = np.asarray(image)
    picture = read_picture(source, "x")
    assert (picture.pixels == expected).all()
    assert picture.width == (24 if orientation == 6 else 40)
    block = Image.Exif()
    block.load(picture.metadata.exif or b"")
    assert block[0x010F] == "maker"
    assert block.get(0x0112, 1) == 1
    assert block.get_ifd(0x8769)[0x9003] == "2026:01:01 00:00:00"
    # What is of the file, not of the picture, stays behind.
    assert not {256, 258, 273, 277, 279} & set(block)


@pytest.mark.parametrize("tag", [None, 1, 3])
def test_the_tag_of_a_tiff_stands_above_xmp(tag: int | None) -> None:
    described = {700: XMP % 6} if tag is None else {700: XMP % 6, 274: tag}
    source = stored(gradient(), "TIFF", tiffinfo=described)
    with Image.open(source) as image:
        expected = np.asarray(image)
    picture = read_picture(source, "x")
    assert picture.width == (24 if tag is None else 40)
    assert (picture.pixels == expected).all()
    assert reset_xmp_orientation(picture.metadata.xmp or b"")[1] in (None, 1)


def test_a_deep_tiff_is_turned_once() -> None:
    samples = np.arange(24, dtype=np.uint16).reshape(2, 4, 3) * 2700
    for grey in (False, True):
        own = samples[..., 0] if grey else samples
        source = deep_tiff(own, "<", orientation=6)
        picture = read_picture(source, "x", options=ReadOptions(reduce_depth=True))
        turned_once = np.rot90(np.floor(own / 257 + 0.5), -1)
        assert (picture.colours() == turned_once).all()


@pytest.mark.parametrize("order", ["<", ">"])
def test_bytes_and_types_of_a_tiff_are_kept(order: str) -> None:
    """Texts that are no ASCII, and tags whose type Pillow would guess."""
    made = Image.Exif()
    made.endian = order
    maker_note, comment = b"\1\2maker\xff", b"UNICODE\0" + "\u00fc".encode("utf-16")
    made[0x8298] = "\u00a9 J\u00fcrgen".encode("latin-1")
    made[0x8769] = {0x927C: maker_note, 0x9286: comment, 0x829A: 0.008, 0xA005: {1: "R98"}}
    made[0x8825] = {1: "N", 2: (1.0, 2.0, 3.5)}
    block = made.tobytes()[6:]
    picture = Picture.from_array(np.asarray(gradient()))
    source = io.BytesIO(build_tiff(replace(picture, metadata=Metadata(exif=block))))
    kept = ExifBlock(read_picture(source, "x").metadata.exif or b"")
    assert kept.order == order
    assert kept.text(kept.main, 0x8298) == "\u00a9 J\u00fcrgen".encode("latin-1")
    assert kept.text(kept.interop, 1) == b"R98"
    given = ExifBlock(block)
    for ours, theirs in ((kept.exif, given.exif), (kept.gps, given.gps)):
        found, expected = (
            [(e.tag, e.type, e.count, b.values(e)) for e in b.entries(directory) if e.tag != 0xA005]
            for b, directory in ((kept, ours), (given, theirs))
        )
        assert found == expected
        assert found


def test_an_image_with_edited_exif_of_a_tiff() -> None:
    made = Image.Exif()
    made[0x8298] = "\u00a9 J\u00fcrgen".encode("latin-1")
    source = stored(gradient(), "TIFF", exif=made)
    with Image.open(source) as image:
        image.getexif()[0x010F] = "edited"
        kept = ExifBlock(picture_from_image(image).metadata.exif or b"")
    assert kept.text(kept.main, 0x010F) == b"edited"
    assert kept.text(kept.main, 0x8298) == "\u00a9 J\u00fcrgen".encode("latin-1")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_directories_of_a_tiff() -> None:
    """Whatever they point to: an answer, or an InputError."""
    made = Image.Exif()
    made[0x010F], made[0x8769] = "maker" * 9, {0x927C: b"note" * 9}
    picture = replace(
        Picture.from_array(np.asarray(gradient())), metadata=Metadata(exif=made.tobytes()[6:])
    )
    data = build_tiff(picture)
    answers = 0
    # The directories of EXIF at the beginning, and that of the file at the end.
    for position in (*range(8, 140), *range(len(data) - 160, len(data))):
        for value in (0, 0xFF, position & 0xFF):
            changed = data[:position] + bytes([value]) + data[position + 1 :]
            with contextlib.suppress(InputError, LimitError):
                read_picture(io.BytesIO(changed), "x")
                answers += 1
    assert answers


def test_a_tiff_of_thousands_of_pointers() -> None:
    """Each to a directory of as many entries: only one of them is read."""
    count = 60000
    data = stored(gradient(), "TIFF").getvalue()
    (start,) = struct.unpack_from("<I", data, 4)
    (own,) = struct.unpack_from("<H", data, start)
    entries = data[start + 2 : start + 2 + 12 * own]
    notes = struct.pack("<HHII", 0x927C, 7, 255, 8) * count
    directory = struct.pack("<H", count) + notes + bytes(4)
    pointers = struct.pack("<HHII", 0x8769, 4, 1, len(data)) * count
    main = struct.pack("<H", own + count) + entries + pointers + bytes(4)
    head = data[:4] + struct.pack("<I", len(data) + len(directory))
    source = io.BytesIO(head + data[8:] + directory + main)
    kept = ExifBlock(read_picture(source, "x").metadata.exif or b"")
    assert [entry.tag for entry in kept.entries(kept.main)] == [0x8769]
    assert [entry.tag for entry in kept.entries(kept.exif)] == [0x927C]


def test_a_page_has_no_profile_of_another(photograph: Pixels) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    pages = io.BytesIO()
    first, second = Image.fromarray(photograph[:20]), Image.fromarray(photograph[20:40])
    with TiffImagePlugin.AppendingTiffWriter(pages, new=True) as writer:
        first.save(writer, "TIFF", icc_profile=profile)
        writer.newFrame()
        second.save(writer, "TIFF")
        writer.newFrame()
    for frame, expected in ((0, profile), (1, None)):
        assert read_picture(pages, "x", options=ReadOptions(frame=frame)).metadata.icc == expected


def test_a_tiff_without_words_has_no_exif() -> None:
    assert read_picture(stored(gradient(), "TIFF", dpi=(72, 72)), "x").metadata.empty


@pytest.mark.parametrize("file_format", [*FORMATS, "TIFF"])
def test_xmp_is_kept(file_format: str) -> None:
    options = {"tiffinfo": {700: XMP % 1}} if file_format == "TIFF" else {"xmp": XMP % 1}
    if file_format == "PNG":
        source = with_chunk(
            stored(gradient(), "PNG").getvalue(), b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP % 1
        )
    else:
        source = stored(gradient(), file_format, **options)
    assert read_picture(source, "x").metadata.xmp == XMP % 1
    source.seek(0)
    assert read_picture(source, "x", options=ReadOptions(frozenset({"xmp"}))).metadata.empty


def test_orientation_of_xmp_counts_where_exif_has_none() -> None:
    picture = read_picture(oriented("JPEG", xmp=XMP % 6), "x")
    assert (picture.width, picture.height) == (24, 40)
    assert picture.metadata.xmp == XMP % 1
    both = read_picture(oriented("JPEG", xmp=XMP % 6, exif=b"Exif\0\0" + exif_block(3)), "x")
    assert (both.width, both.height) == (40, 24)
    assert (both.metadata.xmp, both.metadata.exif) == (XMP % 1, exif_block(1))


@pytest.mark.parametrize(
    "before", [b"<tiff:Orientation>8</tiff:Orientation>", b"tiff:Orientation = '8'"]
)
def test_xmp_says_it_in_two_ways(before: bytes) -> None:
    assert reset_xmp_orientation(b"a" + before + b"8") == (
        b"a" + before.replace(b"8", b"1") + b"8",
        8,
    )
    for senseless in (b"<tiff:Orientation>9<", b"tiff:Orientation='16'", b"tiff:Orientation=''"):
        assert reset_xmp_orientation(senseless) == (senseless, None)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [3, 4])
def test_exif_is_patched_in_place(order: str, kind: int) -> None:
    assert reset_exif_orientation(exif_block(7, order, kind)) == (exif_block(1, order, kind), 7)
    assert reset_exif_orientation(exif_block(9, order, kind)) == (exif_block(9, order, kind), None)


@given(st.binary(max_size=40), st.integers(0, 60), st.booleans())
def test_broken_exif_keeps_its_bytes(noise: bytes, at: int, headed: bool) -> None:
    block = exif_block(6)
    broken = block[:at] + noise if headed else noise
    patched, found = reset_exif_orientation(broken)
    assert len(patched) == len(broken)
    if found is None:
        assert patched == broken


@pytest.mark.parametrize("end", [9, 20, 30])
def test_exif_whose_directory_is_cut_off_is_kept_as_it_is(end: int) -> None:
    exif = exif_block(6)[:end]
    picture = read_picture(stored(gradient(), "PNG", exif=exif), "x")
    assert picture.metadata.exif == exif
    assert picture.width == 40


def test_exif_that_is_none_is_refused_or_stripped() -> None:
    source = oriented("JPEG", exif=b"Exif\0\0\xff\xff\xff\xff garbage")
    with pytest.raises(InputError, match=r"x: the EXIF data is damaged; .*--strip exif"):
        read_picture(source, "x")
    assert read_picture(source, "x", options=ReadOptions(frozenset({"exif"}))).metadata.empty


def test_stripping_still_turns_the_picture() -> None:
    exif = b"Exif\0\0" + exif_block(6)
    source = oriented("JPEG", exif=exif, xmp=XMP % 6)
    picture = read_picture(source, "x", options=ReadOptions(frozenset({"exif", "xmp"})))
    assert (picture.width, picture.metadata.empty) == (24, True)
    assert (
        read_picture(source, "x", options=ReadOptions(frozenset({"exif"}))).metadata.xmp == XMP % 1
    )


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("exif", b"Exif\0\0" + exif_block(6), "exif"),
        ("APP1", b"Exif\0\0" + exif_block(6), "exif"),
        ("APP1", b"http://ns.adobe.com/xap/1.0/\0" + XMP % 6, "xmp"),
        ("xmp", XMP % 6, "xmp"),
    ],
)
def test_texts_of_imagemagick(name: str, content: bytes, kind: str, compressed: bool) -> None:
    text = f"\n{name}\n{len(content):8}\n{content.hex()}\n".encode()
    head = f"Raw profile type {name}".encode() + b"\0"
    packed = (b"zTXt", head + b"\0" + zlib.compress(text)) if compressed else (b"tEXt", head + text)
    png = stored(gradient(), "PNG").getvalue()
    picture = read_picture(with_chunk(png, *packed), "x")
    assert picture.width == 24
    expected = {"exif": exif_block(1), "xmp": XMP % 1}[kind]
    assert vars(picture.metadata) == {"icc": None, "exif": None, "xmp": None, kind: expected}


@pytest.mark.parametrize("text", [b"", b"\nexif\n 9\nabcd", b"\nexif\n 2\nzzzz"])
def test_texts_that_make_no_sense_are_refused(text: bytes) -> None:
    png = stored(gradient(), "PNG").getvalue()
    source = with_chunk(png, b"tEXt", b"Raw profile type exif\0" + text)
    with pytest.raises(InputError, match="EXIF data is damaged"):
        read_picture(source, "x")
    assert read_picture(source, "x", options=ReadOptions(frozenset({"exif"}))).width == 40


def test_metadata_behind_the_samples_counts() -> None:
    png = stored(gradient(), "PNG").getvalue()
    moved = png[:-12] + chunk(b"eXIf", exif_block(6)) + png[-12:]
    picture = read_picture(io.BytesIO(moved), "x")
    assert (picture.width, picture.metadata.exif) == (24, exif_block(1))


def test_xmp_of_several_segments_is_not_cut(photograph: Pixels) -> None:
    data = stored(Image.fromarray(photograph), "JPEG", xmp=XMP % 1).getvalue()
    body = b"http://ns.adobe.com/xmp/extension/\0" + bytes(40)
    source = io.BytesIO(data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:])
    with pytest.raises(InputError, match=r"several segments.*--strip xmp"):
        read_picture(source, "x")
    assert read_picture(source, "x", options=ReadOptions(frozenset({"xmp"}))).metadata.empty


def test_metadata_may_be_too_large() -> None:
    source = stored(gradient(), "WEBP", exif=exif_block(6) + bytes(1 << 24))
    with pytest.raises(LimitError, match=r"EXIF data is 16777\d+ bytes, .*--strip exif"):
        read_picture(source, "x")
    assert read_picture(source, "x", options=ReadOptions(frozenset({"exif"}))).width == 24


def test_images_in_memory_have_their_metadata() -> None:
    with Image.open(oriented("JPEG", exif=b"Exif\0\0" + exif_block(6))) as image:
        picture = picture_from_image(image)
    assert (picture.width, picture.metadata.exif) == (24, exif_block(1))
