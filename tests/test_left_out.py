"""Layers of a picture, videos and signatures: left out with a warning, and no longer promised by XMP."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image

from tests.avif_boxes import add_item, box
from tests.files import (
    blocks,
    bmp_v5,
    directory,
    exif,
    gif_with,
    jpeg,
    jpegs_with_index,
    numbers,
    scene,
    segment,
    xmp_segment,
)
from tests.pictures import stored, with_chunk
from vrcodec.errors import InputError
from vrcodec.picture.intake.containers.contents import C2PA
from vrcodec.picture.picture import Picture
from vrcodec.picture.reading import read_picture

GAIN_MAP = scene(32, 24).convert("L")
VIDEO = struct.pack(">I4s", 24, b"ftyp") + b"mp42" + bytes(12) + b"moov" * 100
NAMESPACES = {
    "hdrgm": "http://ns.adobe.com/hdr-gain-map/1.0/",
    "Container": "http://ns.google.com/photos/1.0/container/",
    "Item": "http://ns.google.com/photos/1.0/container/item/",
    "GCamera": "http://ns.google.com/photos/1.0/camera/",
    "dc": "http://purl.org/dc/elements/1.1/",
    "HDRGainMap": "http://ns.apple.com/HDRGainMap/1.0/",
}
MOTION = 'GCamera:MotionPhoto="1" GCamera:MotionPhotoPresentationTimestampUs="5"'
MICRO = 'GCamera:MicroVideo="1" GCamera:MicroVideoOffset="424"'


def packet(attributes: str, *semantics: str) -> bytes:
    """XMP with these properties and a title, and a list of what is in the file."""
    declared = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in NAMESPACES.items())
    items = "".join(
        f'<rdf:li><Container:Item Item:Semantic="{semantic}" Item:Length="9"/></rdf:li>'
        for semantic in semantics
    )
    listed = f"<Container:Directory><rdf:Seq>{items}</rdf:Seq></Container:Directory>"
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description {declared} {attributes} dc:title="kept">{listed if items else ""}'
        "</rdf:Description></rdf:RDF></x:xmpmeta>"
    ).encode()


def read(data: bytes) -> Picture:
    return read_picture(io.BytesIO(data), "x")


def warnings_of(picture: Picture) -> list[str]:
    return [note.text for note in picture.notes if note.lost]


def promises(picture: Picture) -> bool:
    """Whether XMP speaks of what is not there; it must have kept the rest."""
    xmp = picture.metadata.xmp or b'dc:title="kept"'
    assert b'dc:title="kept"' in xmp
    words = (b"hdrgm", b"hdr-gain-map", b"Motion", b"Micro", b"ontainer", b"Item", b"HDRGainMap")
    return any(word in xmp for word in words)


def file_of_jpegs(primary: bytes, layer: bytes, index: int | None) -> bytes:
    return (
        primary + layer if index is None else jpegs_with_index([primary, layer], [0x030000, index])
    )


ADOBE = xmp_segment(packet('hdrgm:Version="1.0"', "Primary", "GainMap"))
ISO = segment(0xE2, b"urn:iso:std:iso:ts:21496:-1\0" + bytes(4))
APPLE = xmp_segment(packet('HDRGainMap:HDRGainMapVersion="65536"'))


@pytest.mark.parametrize("index", [None, 0, 0x050000])
@pytest.mark.parametrize(
    ("primary", "layer"),
    [
        (ADOBE, b""),
        (ADOBE, xmp_segment(packet('hdrgm:Version="1.0" hdrgm:GainMapMax="3"'))),
        (ISO, ISO + b""),
        (b"", APPLE),
    ],
)
def test_gain_maps_of_jpeg(index: int | None, primary: bytes, layer: bytes) -> None:
    """By Adobe and Google (Ultra HDR), by ISO 21496-1, by Apple; with an index of pictures, and without."""
    base = jpeg(scene(), primary)
    picture = read(file_of_jpegs(base, jpeg(GAIN_MAP, layer), index))
    assert warnings_of(picture) == ["left out: the gain map"]
    assert (picture.pixels == np.asarray(Image.open(io.BytesIO(base)))).all()
    assert not promises(picture)
    if primary == ADOBE:
        (note,) = (note for note in picture.notes if note.text.startswith("XMP"))
        assert note.text == "XMP: hdrgm:Version removed, Container:Directory removed"


def test_a_gain_map_and_a_video() -> None:
    """As a telephone writes both."""
    xmp = packet('hdrgm:Version="1.0" ' + MOTION, "Primary", "GainMap", "MotionPhoto")
    picture = read(jpeg(scene(), xmp_segment(xmp)) + jpeg(GAIN_MAP) + VIDEO)
    assert warnings_of(picture) == [
        "left out: the gain map; the video of a motion photo (424 bytes)"
    ]
    assert not promises(picture)


@pytest.mark.parametrize("words", [MOTION, MICRO])
def test_motion_photos(words: str) -> None:
    picture = read(jpeg(scene(), xmp_segment(packet(words, "Primary", "MotionPhoto"))) + VIDEO)
    assert warnings_of(picture) == ["left out: the video of a motion photo (424 bytes)"]
    assert not promises(picture)


@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "AVIF", "TIFF", "GIF"])
def test_promises_end_in_every_format(file_format: str) -> None:
    xmp = packet('hdrgm:Version="1.0" ' + MOTION, "Primary", "GainMap", "MotionPhoto")
    if file_format == "PNG":
        chunk = b"XML:com.adobe.xmp\0\0\0\0\0" + xmp
        data = with_chunk(stored(scene(), "PNG").getvalue(), b"iTXt", chunk).getvalue()
    elif file_format == "GIF":
        data = gif_with(scene(), 0xFF, b"XMP DataXMP", blocks(xmp))
    else:
        options = {"tiffinfo": {700: xmp}} if file_format == "TIFF" else {"xmp": xmp}
        data = stored(scene(), file_format, **options).getvalue()
    picture = read(data)
    assert picture.metadata.xmp
    assert not promises(picture)


def test_two_pictures_with_gain_maps_are_two_pictures() -> None:
    one = jpegs_with_index([jpeg(scene(), ADOBE), jpeg(GAIN_MAP)], [0x030000, 0])
    with pytest.raises(InputError, match="--frame"):
        read(one + one)


def test_other_layers_of_jpeg() -> None:
    semantic = xmp_segment(packet("", "Primary", "Depth"))
    apple = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0 urn:com:apple:photo:2018:aux:matte")
    for data in (jpeg(scene(), semantic) + jpeg(GAIN_MAP), jpeg(scene()) + jpeg(GAIN_MAP, apple)):
        assert warnings_of(read(data)) == ["left out: the depth map or another layer"]


def cut_out() -> Image.Image:
    image = scene()
    image.putalpha(image.getchannel(0))
    return image


@pytest.mark.parametrize(
    ("boxes", "words"),
    [
        ({"aux": b"urn:mpeg:mpegB:cicp:systems:auxiliary:depth"}, "a layer, such as a depth map"),
        ({"aux": b"urn:com:apple:photo:2020:aux:hdrgainmap"}, "the gain map"),
        ({"item": b"tmap"}, "the gain map"),
        ({"item": b"av01"}, "another picture"),
    ],
)
def test_what_an_avif_has_beside_its_picture(boxes: dict[str, bytes], words: str) -> None:
    data = stored(cut_out(), "AVIF").getvalue()
    if "aux" in boxes:
        # In place of the alpha that the second item is.
        known = b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0"
        data = data.replace(known, boxes["aux"].ljust(len(known), b"\0"))
    else:
        data = add_item(data, boxes["item"])
    assert warnings_of(read(data)) == [f"left out: {words}"]


def test_what_an_avif_has_for_its_picture_is_no_news() -> None:
    data = stored(cut_out(), "AVIF", exif=exif({}), xmp=b"<x/>").getvalue()
    assert read(data).notes == ()
    hidden = add_item(add_item(data, b"av01", hidden=True), b"av01", refers=b"cdsc")
    assert read(hidden).notes == ()
    thumbnail = read(add_item(data, b"av01", refers=b"thmb"))
    assert [(note.text, note.lost) for note in thumbnail.notes] == [
        ("left out: a thumbnail", False)
    ]


def test_boxes_behind_an_avif() -> None:
    data = stored(scene(), "AVIF").getvalue()
    video = read(data + box(b"mpvd", VIDEO))
    assert warnings_of(video) == ["left out: the video of a motion photo (432 bytes)"]
    assert warnings_of(read(data + box(b"abcd", b""))) == ["left out: the box abcd"]
    assert read(data + box(b"free", b"any")).notes == ()


def tiff_with(tag: int) -> bytes:
    return stored(scene(), "TIFF", tiffinfo={tag: b"some bytes"}).getvalue()


C2PA_UUID = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
JUMBF = b"JP\0\1\0\0\0\1\0\0\0\x40jumb\0\0\0\x20jumdc2pa\0"


@pytest.mark.parametrize(
    "data",
    [
        jpeg(scene(), segment(0xEB, JUMBF)),
        with_chunk(stored(scene(), "PNG").getvalue(), b"caBX", b"jumbf").getvalue(),
        stored(scene(), "AVIF").getvalue() + box(b"uuid", C2PA_UUID + b"manifest"),
        gif_with(scene(), 0xFF, b"C2PA_GIF\1\0\0", blocks(b"manifest")),
        tiff_with(0xCD41),
    ],
)
def test_signatures_do_not_outlive_their_file(data: bytes) -> None:
    assert warnings_of(read(data)) == [f"left out: {C2PA}"]


def webp_with(kind: bytes, content: bytes) -> bytes:
    data = stored(scene(), "WEBP", exif=exif({})).getvalue()
    chunk = kind + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)
    return data[:4] + struct.pack("<I", len(data) + len(chunk) - 8) + data[8:] + chunk


def test_other_parts_of_files() -> None:
    png = stored(scene(), "PNG").getvalue()
    for data, words in (
        (webp_with(b"C2PA", b"manifest"), C2PA),
        (webp_with(b"abcd", b"odd"), "the chunk abcd"),
        (with_chunk(png, b"mDCV", bytes(24)).getvalue(), "the mastering display's colours (mDCV)"),
        (with_chunk(png, b"cLLI", bytes(8)).getvalue(), "the light levels (cLLI)"),
        (with_chunk(png, b"gdAT", bytes(80)).getvalue(), "the gain map"),
        (tiff_with(37724), "Photoshop's layers"),
        (
            gif_with(scene(), 0x01, bytes(12), blocks(b"Hello")),
            "text that is drawn over the picture",
        ),
        (
            jpeg(scene(), segment(0xEB, b"HDR_RI ver=11")),
            "the APP11 segments (JUMBF, or a layer of high dynamic range)",
        ),
    ):
        assert warnings_of(read(data)) == [f"left out: {words}"]


def test_chunks_that_a_picture_needs() -> None:
    png = stored(scene(), "PNG").getvalue()
    with pytest.raises(InputError, match="x: has the chunk CgBI"):
        read(with_chunk(png, b"CgBI", bytes(4)).getvalue())
    assert read(with_chunk(png, b"sBIT", b"\5\6\5").getvalue()).notes == ()


def test_a_mask_of_alpha_in_bmp_is_alpha() -> None:
    image = cut_out()
    data = bmp_v5(image, bytes(4))
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    data = data[:30] + struct.pack("<I", 3) + data[34:54] + masks + data[70:]
    picture = read(data)
    assert picture.notes == ()
    assert (picture.to_array() == np.asarray(image)).all()


def test_the_fourth_byte_of_bmp() -> None:
    opaque = scene().convert("RGBA")
    assert read(stored(opaque, "BMP").getvalue()).notes == ()
    (told,) = warnings_of(read(stored(cut_out(), "BMP").getvalue()))
    assert told == "left out: the fourth byte of each pixel, which is alpha to some programs"


def test_the_first_of_two_blocks_of_exif_counts() -> None:
    first, second = (exif({0x0112: numbers(orientation)}) for orientation in (6, 3))
    data = jpeg(scene(), *(segment(0xE1, b"Exif\0\0" + block) for block in (first, second)))
    picture = read(data)
    assert (picture.width, picture.metadata.exif) == (48, exif({0x0112: numbers(1)}))
    assert warnings_of(picture) == ["left out: a second block of EXIF"]


def tiff_with_sub_directory(main_kind: int, kind: int) -> bytes:
    """A TIFF of this kind, with a directory below that of its page."""
    data = stored(scene(), "TIFF", tiffinfo={254: main_kind, 330: 1}).getvalue()
    at = data.index(struct.pack("<HH", 330, 4)) + 8
    below = directory("<", len(data), {254: numbers(kind, kind=4)})
    return data[:at] + struct.pack("<I", len(data)) + data[at + 4 :] + below


def test_directories_below_that_of_a_page() -> None:
    smaller = read(tiff_with_sub_directory(0, 1))
    assert [(note.text, note.lost) for note in smaller.notes] == [
        ("left out: a smaller version", False)
    ]
    assert warnings_of(read(tiff_with_sub_directory(0, 0))) == [
        "left out: a picture in a sub-directory"
    ]
    with pytest.raises(InputError, match=r"x: shows no more than a thumbnail .*raw file"):
        read(tiff_with_sub_directory(1, 0))
