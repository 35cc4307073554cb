"""Several pictures in one file, and bytes behind the end: chosen by --frame, or told."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.TiffImagePlugin import AppendingTiffWriter

from tests.files import jpegs_with_index, scene
from tests.pictures import stored
from vrcodec.errors import InputError
from vrcodec.picture.intake.read_options import ReadOptions
from vrcodec.picture.picture import Picture
from vrcodec.picture.reading import picture_from_image, read_picture

FORMATS = ("PPM", "JPEG", "PNG", "GIF", "WEBP")
FIRST, SECOND = scene(), scene(40, 30).transpose(Image.Transpose.ROTATE_180)


def read(data: bytes, frame: int | None = None) -> Picture:
    return read_picture(io.BytesIO(data), "x", options=ReadOptions(frame=frame))


def file_of(image: Image.Image, file_format: str) -> bytes:
    return stored(image, file_format).getvalue()


def warnings_of(picture: Picture) -> list[str]:
    return [note.text for note in picture.notes if note.lost]


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("between", [b"", bytes(5)])
def test_pictures_one_behind_the_other(file_format: str, between: bytes) -> None:
    parts = [file_of(FIRST, file_format), file_of(SECOND, file_format)]
    data = between.join(parts)
    with pytest.raises(InputError, match=r"x: has several frames or pages; .*--frame"):
        read(data)
    for number, part in enumerate(parts):
        picture = read(data, number)
        assert (picture.pixels == read(part).pixels).all()
        assert picture.notes == ()
    with pytest.raises(InputError, match="x: has no frame 2"):
        read(data, 2)


@pytest.mark.parametrize("file_format", ["PPM", "JPEG", "PNG", "GIF"])
def test_images_of_pillow_are_of_files_with_several_pictures(file_format: str) -> None:
    data = file_of(FIRST, file_format) + file_of(SECOND, file_format)
    with Image.open(io.BytesIO(data)) as image, pytest.raises(InputError, match="--frame"):
        picture_from_image(image)
    with Image.open(io.BytesIO(data)) as image:
        second = picture_from_image(image, options=ReadOptions(frame=1))
    assert second.width == 40


@pytest.mark.parametrize("file_format", [*FORMATS, "BMP", "AVIF"])
def test_bytes_behind_the_end_are_told(file_format: str) -> None:
    data = file_of(FIRST, file_format)
    picture = read(data + b"PK\3\4 a ZIP file")
    assert warnings_of(picture) == ["left out: 15 bytes behind the end of the picture"]
    assert (picture.pixels == read(data).pixels).all()
    assert read(data + bytes(1000)).notes == ()
    assert read(data + b"\n").notes == ()
    video = struct.pack(">I4s", 24, b"ftyp") + b"mp42" + bytes(12) + b"mdat" * 300
    told = f"left out: the video of a motion photo ({len(video):,} bytes)"
    assert warnings_of(read(data + video)) == [told]
    other = file_of(SECOND, "AVIF")
    assert warnings_of(read(data + other)) == [f"left out: another picture ({len(other):,} bytes)"]


@pytest.mark.parametrize("mode", ["1", "L", "RGB"])
@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("deep", [False, True])
def test_netpbm_ends_where_its_samples_do(mode: str, plain: bool, deep: bool) -> None:
    samples = np.asarray(FIRST.crop((0, 0, 13, 7)).convert(mode)).astype(int)
    kind = {"1": 1, "L": 2, "RGB": 3}[mode] + (0 if plain else 3)
    maxval = "" if mode == "1" else " 700\n" if deep else " 255\n"
    head = f"P{kind} # of 1 9 things\n13 7".encode() + (maxval or "\n").encode()
    if plain:
        body = b"# no sample 5\n" + b" ".join(b"%d" % value for value in samples.ravel())
        body = body.replace(b" ", b"") if mode == "1" else body
    elif mode == "1":
        body = np.packbits(samples, axis=1).tobytes()
    else:
        body = samples.astype(">u2" if deep else np.uint8).tobytes()
    options = ReadOptions(reduce_depth=True)
    alone = read_picture(io.BytesIO(head + body), "x", options=options)
    assert alone.notes == ()
    if not (plain and mode == "1"):
        # Pillow refuses the other, in which all that follows should be samples.
        junk = read_picture(io.BytesIO(head + body + b"\njunk"), "x", options=options)
        assert warnings_of(junk) == ["left out: 5 bytes behind the end of the picture"]
        assert (junk.pixels == alone.pixels).all()
    with pytest.raises(InputError, match="--frame"):
        read_picture(io.BytesIO(2 * (head + body + b"\n" * plain)), "x", options=options)


@given(st.integers(1, 40), st.integers(1, 40), st.binary(min_size=1, max_size=30))
def test_what_lies_behind_a_bitmap_is_counted(width: int, height: int, rest: bytes) -> None:
    rest = b"Q" + rest + b"Q"
    for image in (Image.new("1", (width, height)), Image.new("RGB", (width, height))):
        told = warnings_of(read(file_of(image, "PPM") + rest))
        assert told == [f"left out: {len(rest)} bytes behind the end of the picture"]


@pytest.mark.parametrize("order", ["<", ">"])
def test_an_index_of_pictures_is_one_of_frames(order: str) -> None:
    parts = [file_of(FIRST, "JPEG"), file_of(SECOND, "JPEG")]
    data = jpegs_with_index(parts, [0x030000, 0x020002], order)
    with pytest.raises(InputError, match="--frame"):
        read(data)
    for number, part in enumerate(parts):
        assert (read(data, number).pixels == read(part).pixels).all()


@pytest.mark.parametrize("kind", [0x010001, 0x010002])
def test_previews_of_cameras_are_no_frames(kind: int) -> None:
    """As all cameras of some makers have them: the picture is that of the file, and no warning is due."""
    parts = [file_of(FIRST, "JPEG"), file_of(FIRST.resize((32, 24)), "JPEG")]
    picture = read(jpegs_with_index(parts, [0x030000, kind]))
    assert (picture.pixels == read(parts[0]).pixels).all()
    assert [(note.text, note.lost) for note in picture.notes] == [("left out: a preview", False)]


def test_a_picture_further_on_is_found_by_the_index() -> None:
    first, second = file_of(FIRST, "JPEG"), file_of(SECOND, "JPEG")
    data = jpegs_with_index([first + b"a maker's own words", second], [0x030000, 0])
    picture = read(data, 1)
    assert picture.width == 40


def tiff_pages(*kinds: int) -> bytes:
    """A page for each, which says that it is of this kind; smaller ones are smaller."""
    images = [FIRST if not kind & 1 else FIRST.resize((16, 12)) for kind in kinds]
    buffer = io.BytesIO()
    with AppendingTiffWriter(buffer, True) as writer:
        for image, kind in zip(images, kinds, strict=True):
            image.save(writer, "TIFF", tiffinfo={254: kind})
            writer.newFrame()
    return buffer.getvalue()


@pytest.mark.parametrize("kinds", [(0, 1), (0, 1, 1), (1, 0)])
def test_smaller_versions_of_a_tiff_are_no_pages(kinds: tuple[int, ...]) -> None:
    data = tiff_pages(*kinds)
    picture = read(data)
    assert (picture.pixels == np.asarray(FIRST)).all()
    copies = len(kinds) - 1
    several = f" ({copies} times)" if copies > 1 else ""
    expected = [(f"left out: a smaller version{several}", False)]
    assert [(note.text, note.lost) for note in picture.notes] == expected
    assert read(data, kinds.index(1)).width == 16


@pytest.mark.parametrize("kinds", [(0, 0), (2, 2), (0, 4), (0, 1, 0)])
def test_pages_and_masks_of_a_tiff_have_to_be_chosen(kinds: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="--frame"):
        read(tiff_pages(*kinds))
    assert (read(tiff_pages(*kinds), 0).pixels == np.asarray(FIRST)).all()
