"""AVIF and HEIF: the clean aperture, layers and pictures beside the one that is shown, the rest of the file."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import BinaryIO

from PIL import Image

from vrcodec.picture.intake.boxes import Box, read_boxes
from vrcodec.picture.intake.containers.contents import (
    C2PA,
    FileContents,
    describe_rest,
    file_size,
    read_at,
)
from vrcodec.picture.intake.items import (
    item_types,
    primary_item,
    property_indices,
    references,
)

# Boxes in front of the samples.
_META_BYTES = 1 << 22
_KNOWN = (b"ftyp", b"meta", b"mdat", b"free", b"skip", b"moov", b"sidx")
_FILE_TYPE, _VIDEO, _UUID = b"ftyp", b"mpvd", b"uuid"
_C2PA_UUID = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
_ALPHA = (b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1")
_PICTURES = (b"av01", b"grid", b"iden", b"iovl")
# References from what belongs to another picture, and to what one is put together of.
_OF_ANOTHER, _TOGETHER = (b"auxl", b"thmb", b"cdsc"), (b"dimg",)
_CLEAN_APERTURE = struct.Struct(">IIIIiIiI")
_GAIN_MAP = "the gain map"
_BAD_APERTURE = "has a clean aperture that is not of whole pixels inside of it"


def read_avif(image: Image.Image, source: BinaryIO) -> FileContents:
    """What an AVIF file holds beside what Pillow and `read_file_header` tell."""
    boxes = dict(read_boxes(read_at(source, 0, _META_BYTES)))
    left_out, copies, aperture, problem = [*_top_level(source)], 0, None, None
    try:
        items = _Items.parse(boxes[b"meta"][4:])
        left_out = [*items.layers(), *items.other_pictures(), *left_out]
        copies = items.thumbnails()
        moving = getattr(image, "n_frames", 1) > 1
        clap = _find_in_track(boxes.get(b"moov", b"")) if moving else items.primary(b"clap")
        if clap is not None:
            aperture, problem = _clean_aperture(clap, *image.size)
    except (KeyError, IndexError, struct.error):
        # libavif, which reads the same boxes, has found nothing wrong with what it needs.
        pass
    return FileContents(
        problem=problem,
        clean_aperture=aperture,
        left_out=tuple(left_out),
        copies=("a thumbnail",) * copies,
    )


def read_heif(image: Image.Image, source: BinaryIO) -> FileContents:
    """What a HEIF file holds beside pictures, which can be chosen, and what libheif applies to them."""
    left_out = [*_top_level(source)]
    try:
        meta = dict(read_boxes(read_at(source, 0, _META_BYTES)))[b"meta"]
        left_out = [*_Items.parse(meta[4:]).layers(), *left_out]
    except (KeyError, IndexError, struct.error):
        # libheif has found nothing wrong with what it needs.
        pass
    return FileContents(left_out=tuple(left_out))


def _top_level(source: BinaryIO) -> Iterator[str]:
    """What of the file's own boxes, and behind them, is no part of the picture."""
    position, size = 0, file_size(source)
    while position + 8 <= size:
        head = read_at(source, position, 32)
        length, kind = struct.unpack_from(">I4s", head)
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        length = length or size - position
        again = kind == _FILE_TYPE and position > 0
        if again or length < 8 or position + length > size or not kind.strip(b"\0"):
            break
        if kind == _VIDEO:
            yield f"the video of a motion photo ({length:,} bytes)"
        elif kind == _UUID and head[8:24] == _C2PA_UUID:
            yield C2PA
        elif kind not in _KNOWN:
            yield f"the box {kind.decode('ascii', 'replace')}"
        position += length
    yield from describe_rest(source, position)


@dataclass(frozen=True)
class _Items:
    """The items of a file: type and whether hidden, properties, and references to others, by number."""

    main: int
    types: dict[int, tuple[bytes, bool]]
    properties: dict[int, list[Box]]
    references: list[tuple[bytes, int, tuple[int, ...]]]

    @staticmethod
    def parse(meta: bytes) -> _Items:
        """Raises KeyError, IndexError or struct.error where boxes are missing or broken."""
        boxes = dict(read_boxes(meta))
        iprp = list(read_boxes(boxes[b"iprp"]))
        known = list(read_boxes(dict(iprp)[b"ipco"]))
        properties: dict[int, list[Box]] = {}
        for ipma in (body for box_type, body in iprp if box_type == b"ipma"):
            for item, indices in property_indices(ipma).items():
                found = [known[index - 1] for index in indices if 0 < index <= len(known)]
                properties.setdefault(item, []).extend(found)
        return _Items(
            primary_item(boxes[b"pitm"]),
            item_types(boxes[b"iinf"]),
            properties,
            list(references(boxes.get(b"iref", b""))),
        )

    def primary(self, kind: bytes) -> bytes | None:
        """The property of this kind of the primary item."""
        return next((body for k, body in self.properties.get(self.main, ()) if k == kind), None)

    def thumbnails(self) -> int:
        """How many of the items are thumbnails."""
        return sum(kind == b"thmb" for kind, _, _ in self.references)

    def layers(self) -> Iterator[str]:
        """Layers beside colours and alpha."""
        names = {self._name_layer(item) for kind, item, _ in self.references if kind == b"auxl"}
        if any(kind == b"tmap" for kind, _ in self.types.values()):
            names.add(_GAIN_MAP)
        yield from sorted(name for name in names if name)

    def other_pictures(self) -> Iterator[str]:
        """Pictures beside the primary item that do not belong to another."""
        belonging = {self.main}
        for kind, origin, targets in self.references:
            belonging |= {origin} if kind in _OF_ANOTHER else set()
            belonging |= set(targets) if kind in _TOGETHER else set()
        for item, (kind, hidden) in self.types.items():
            if kind in _PICTURES and not hidden and item not in belonging:
                yield "another picture"

    def _auxiliary_type(self, item: int) -> bytes:
        bodies = (body for kind, body in self.properties.get(item, ()) if kind == b"auxC")
        return next(bodies, b"")[4:].split(b"\0")[0]

    def _name_layer(self, item: int) -> str | None:
        """None of alpha."""
        kind = self._auxiliary_type(item)
        if kind in _ALPHA:
            return None
        return _GAIN_MAP if b"gainmap" in kind.lower() else "a layer, such as a depth map"


def _find_in_track(moov: bytes) -> bytes | None:
    """The clean aperture of a track."""
    size = 8 + _CLEAN_APERTURE.size
    at = moov.find(struct.pack(">I4s", size, b"clap"))
    return moov[at + 8 : at + size] if at >= 0 else None


def _clean_aperture(
    clap: bytes, width: int, height: int
) -> tuple[tuple[int, int, int, int] | None, str | None]:
    """Left, top, width and height of what is to be shown; None where that is all, or with what is wrong.

    Odd places of pictures with fewer samples of chroma are as good as others: what is cropped has all samples.
    """
    numbers = _CLEAN_APERTURE.unpack_from(clap)
    if not all(numbers[1::2]):
        return None, _BAD_APERTURE
    across, down, right, below = (Fraction(*numbers[at : at + 2]) for at in range(0, 8, 2))
    # The offsets are those of the middle.
    left, top = right + (width - across) / 2, below + (height - down) / 2
    whole = all(number.denominator == 1 for number in (left, top, across, down))
    inside = left >= 0 and top >= 0 and left + across <= width and top + down <= height
    if not (whole and inside and across > 0 and down > 0):
        return None, _BAD_APERTURE
    window = (int(left), int(top), int(across), int(down))
    return (None if window == (0, 0, width, height) else window), None
