"""EXIF and XMP after the samples have changed: what would be untrue is gone or set right."""

from __future__ import annotations

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from tests.files import Field, exif, jpeg, numbers, scene, text, xmp_segment
from tests.pictures import stored
from vrcodec.picture.intake.exif_block import ExifBlock
from vrcodec.picture.intake.exif_update import update_exif
from vrcodec.picture.intake.pixel_change import PixelChange
from vrcodec.picture.intake.read_options import ReadOptions
from vrcodec.picture.intake.xmp_update import update_xmp
from vrcodec.picture.picture import Picture
from vrcodec.picture.reading import read_picture

ORIENTATION, MAKER_NOTE, COLOUR_SPACE = 0x0112, 0x927C, 0xA001
WIDTHS, HEIGHTS = (0x0100, 0xA002), (0x0101, 0xA003)
TURNED = PixelChange(48, 64, moved=True)
CONVERTED = PixelChange(64, 48, to_srgb=True)
SAME = PixelChange(64, 48)
THUMBNAIL = stored(scene(16, 12), "JPEG").getvalue()


def photograph_exif(order: str = "<", orientation: int = 6, thumbnail: bytes = THUMBNAIL) -> bytes:
    """As of a telephone: sizes, a place in the picture, maker's notes with a kind of offset, a thumbnail."""

    def short(*values: int) -> Field:
        return numbers(*values, order=order)

    notes = (7, 40, struct.pack(order + "4sI", b"note", 8) + b"further notes ..." * 2)
    own = {0xA002: numbers(64, order=order, kind=4), 0xA003: short(48), 0x9214: short(9, 9, 4, 4)}
    own |= {MAKER_NOTE: notes, COLOUR_SPACE: short(0xFFFF)}
    main = {0x0100: short(64), 0x0101: short(48), 0x010F: text(b"maker"), ORIENTATION: short(1)}
    main[ORIENTATION] = short(orientation)
    return exif(main, own, {1: text(b"R03")}, thumbnail, order)


def read(data: bytes, **options: object) -> Picture:
    return read_picture(io.BytesIO(data), "x", options=ReadOptions(**options))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_turned_photograph(order: str, orientation: int) -> None:
    block = photograph_exif(order, orientation)
    picture = read(jpeg(scene(), exif=b"Exif\0\0" + block))
    kept = picture.metadata.exif
    assert kept is not None
    assert THUMBNAIL[:20] not in kept
    found = Image.Exif()
    found.load(kept)
    own = found.get_ifd(0x8769)
    assert (found[0x0100], found[0x0101]) == (picture.width, picture.height)
    assert (own[0xA002], own[0xA003]) == (picture.width, picture.height)
    assert found[ORIENTATION] == 1
    assert 0x9214 not in own
    assert not found.get_ifd(1)
    # Other tools find the rest where it was.
    assert found[0x010F] == "maker"
    at = block.index(b"note")
    assert kept[at : at + 40] == block[at : at + 40]
    (note,) = (note for note in picture.notes if note.text.startswith("EXIF"))
    assert "thumbnail removed" in note.text
    assert "SubjectArea removed" in note.text
    assert not note.lost


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_turned_tiff(orientation: int) -> None:
    sizes = {0xA002: 64, 0xA003: 48}
    source = stored(scene(), "TIFF", tiffinfo={ORIENTATION: orientation, 0x8769: sizes})
    picture = read(source.getvalue())
    found = Image.Exif()
    found.load(picture.metadata.exif or b"")
    own = found.get_ifd(0x8769)
    assert (own[0xA002], own[0xA003]) == (picture.width, picture.height)
    assert picture.width == (64 if orientation == 1 else 48)


def test_what_is_not_turned_is_byte_for_byte() -> None:
    block = photograph_exif(orientation=1)
    for file_format in ("JPEG", "PNG", "WEBP"):
        source = stored(scene(), file_format, exif=b"Exif\0\0" + block)
        picture = read(source.getvalue())
        assert (picture.metadata.exif, picture.notes) == (block, ())


def test_only_what_is_untrue_is_changed() -> None:
    """Of the block of a turned picture, nothing in front of the thumbnail but the numbers in question."""
    block = exif({ORIENTATION: numbers(1)}, {0xA002: numbers(64), 0xA003: numbers(48)}, None, b"x")
    updated, done = update_exif(block, TURNED)
    expected = exif({ORIENTATION: numbers(1)}, {0xA002: numbers(48), 0xA003: numbers(64)})
    assert updated == expected
    assert done == ["thumbnail removed", "dimensions set to 48x64"]


@pytest.mark.parametrize("change", [CONVERTED, PixelChange(64, 48, other_frame=True)])
def test_other_changes_make_the_thumbnail_stale(change: PixelChange) -> None:
    updated, done = update_exif(photograph_exif(), change)
    assert "thumbnail removed" in done
    assert THUMBNAIL not in updated
    block = ExifBlock(updated)
    assert (block.number(block.exif, 0xA002), block.number(block.main, 0x0101)) == (64, 48)
    assert update_exif(photograph_exif(), SAME) == (photograph_exif(), [])


@pytest.mark.parametrize("order", ["<", ">"])
def test_conversion_to_srgb_is_said(order: str) -> None:
    updated, _ = update_exif(photograph_exif(order), CONVERTED)
    block = ExifBlock(updated)
    assert block.number(block.exif, COLOUR_SPACE) == 1
    assert block.text(block.interop, 1) == b"R98"


def test_conversion_removes_the_colours_of_before() -> None:
    colours = {0x013E: (5, 2, bytes(16)), 0x013F: (5, 6, bytes(48)), 0x0140: numbers(7)}
    block = exif({0x010F: text(b"maker"), **colours}, {0xA500: (5, 1, bytes(8))})
    updated, done = update_exif(block, CONVERTED)
    assert done == ["WhitePoint removed", "PrimaryChromaticities removed", "Gamma removed"]
    found = Image.Exif()
    found.load(updated)
    assert (dict(found)[0x010F], found[0x0140], 0x013E in found) == ("maker", 7, False)


def test_a_converted_file_says_srgb() -> None:
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    source = stored(scene(), "PNG", exif=photograph_exif(orientation=1), icc_profile=icc)
    kept = read(source.getvalue(), icc="srgb").metadata.exif
    block = ExifBlock(kept or b"")
    assert block.number(block.exif, COLOUR_SPACE) == 1


def test_thumbnails_between_other_things_are_blanked() -> None:
    """Behind the thumbnail lies what maker's notes may point to."""
    block = photograph_exif() + b"preview of the maker"
    updated, _ = update_exif(block, TURNED)
    assert len(updated) == len(block)
    assert updated.endswith(bytes(len(THUMBNAIL)) + b"preview of the maker")


def test_thumbnails_that_overlap_are_taken_off_alone() -> None:
    block = bytearray(photograph_exif())
    inside = block.index(b"further notes")
    at = block.index(struct.pack("<HHI", 0x0201, 4, 1)) + 8
    block[at : at + 4] = struct.pack("<I", inside)
    updated, _ = update_exif(bytes(block), TURNED)
    assert updated[inside : inside + 17] == b"further notes ..."
    assert ExifBlock(updated).remove_thumbnail() is False


@given(st.binary(max_size=60), st.integers(0, 400), st.integers(0, 40))
def test_broken_blocks_are_no_trouble(noise: bytes, at: int, length: int) -> None:
    block = photograph_exif()
    broken = block[:at] + noise + block[at + length :]
    for change in (TURNED, CONVERTED):
        updated, done = update_exif(broken, change)
        assert len(updated) <= len(broken)
        if not done:
            assert updated == broken


PACKET = b"""<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
 <rdf:Description rdf:about='' xmlns:t="http://ns.adobe.com/tiff/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/"
  xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
  t:ImageWidth='64' t:Make="x" exif:PixelYDimension = "48" exif:ColorSpace="65535">
  <dc:title>tiff:ImageWidth="64" &amp; more</dc:title>
  <t:ImageLength>48</t:ImageLength>
  <xmp:Thumbnails><rdf:Alt><rdf:li>AAAA</rdf:li></rdf:Alt></xmp:Thumbnails>
 </rdf:Description>
</rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>"""


def test_xmp_of_a_turned_picture() -> None:
    expected = PACKET.replace(b"t:ImageWidth='64'", b"t:ImageWidth='48'")
    expected = expected.replace(b'Dimension = "48"', b'Dimension = "64"')
    expected = expected.replace(b"<t:ImageLength>48", b"<t:ImageLength>64")
    start, end = expected.index(b"\n  <xmp:Thumb"), expected.index(b"\n </rdf:Desc")
    updated, done = update_xmp(PACKET, TURNED)
    assert updated == expected[:start] + expected[end:]
    assert "xmp:Thumbnails removed" in done
    assert "tiff:ImageWidth set" in done
    assert update_xmp(PACKET, SAME) == (PACKET, [])


def test_xmp_of_a_converted_picture() -> None:
    updated, done = update_xmp(PACKET, CONVERTED)
    assert updated is not None
    assert b'exif:ColorSpace="1"' in updated
    assert b"t:ImageWidth='64'" in updated
    assert done == ["exif:ColorSpace set", "xmp:Thumbnails removed"]


def test_xmp_in_a_file() -> None:
    packet = PACKET.replace(b"t:Make", b"t:Orientation='6' t:Make")
    picture = read(jpeg(scene(), xmp_segment(packet)))
    # Where a prefix is not the usual one, the orientation is not found.
    assert picture.width == 64
    picture = read(
        jpeg(scene(), xmp_segment(packet.replace(b"t:", b"tiff:").replace(b":t=", b":tiff=")))
    )
    assert picture.width == 48
    assert b"tiff:ImageWidth='48'" in (picture.metadata.xmp or b"")
    assert any("XMP: tiff:ImageWidth set" in note.text for note in picture.notes)


@pytest.mark.parametrize(
    "packet",
    [
        PACKET.decode().encode("utf-16"),
        b"<!DOCTYPE x [<!ENTITY e 'tiff:ImageWidth'>]>" + PACKET[PACKET.index(b"<x:") :],
        PACKET.replace(b"</x:xmpmeta>", b""),
        PACKET.replace(b"<t:ImageLength>48", b"<t:ImageLength><b>48</b>"),
    ],
)
def test_xmp_that_cannot_be_edited_is_left_out(packet: bytes) -> None:
    assert update_xmp(packet, TURNED) == (None, [])
    assert update_xmp(packet, SAME) == (packet, [])


def test_xmp_that_cannot_be_read_and_says_nothing_is_kept() -> None:
    for packet in (b"", b"\0", b"<x>", "<x rating='5'/>".encode("utf-16"), b"\xff\xfe"):
        assert update_xmp(packet, TURNED) == (packet, [])


@given(st.integers(0, len(PACKET)), st.binary(max_size=9), st.integers(0, 30))
def test_broken_xmp_is_no_trouble(at: int, noise: bytes, length: int) -> None:
    broken = PACKET[:at] + noise + PACKET[at + length :]
    for change in (TURNED, CONVERTED, SAME):
        updated, done = update_xmp(broken, change)
        assert updated is None or done or updated == broken
