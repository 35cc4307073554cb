"""TIFF: pages and sub-directories that are smaller versions, and tags that have no place in a picture."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

from PIL import Image

from vrcodec.picture.intake.containers.contents import C2PA, FileContents, read_at
from vrcodec.picture.intake.containers.tiff_exif import Field, build_exif, split_fields
from vrcodec.picture.intake.embedded_metadata import MAX_METADATA_BYTES

_HEADER_BYTES = 16
_BIG = 43
_NEW_SUBFILE_TYPE, _SUB_IFDS = 254, 330
_READ_TAGS = (_NEW_SUBFILE_TYPE, _SUB_IFDS)
_REDUCED, _MASK = 1, 4
_LEFT_OUT = {0xCD41: C2PA, 37724: "Photoshop's layers"}
_RAW = "shows no more than a thumbnail of the picture in it (a raw file?)"
# SHORT, LONG, IFD, and those of 8 bytes.
_NUMBERS = {3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
# Directories that are looked at, of one chain or list.
_MAX_DIRECTORIES = 1 << 12


@dataclass(frozen=True)
class _Page:
    """A directory: its tags, with numbers where they are of `_READ_TAGS`; its offset, and the next one's."""

    offset: int
    tags: dict[int, tuple[int, ...]]
    next_offset: int

    @property
    def reduced(self) -> bool:
        """Whether it is a smaller version of another picture in the file."""
        (kind, *_) = self.tags.get(_NEW_SUBFILE_TYPE) or (0,)
        return bool(kind & _REDUCED) and not kind & _MASK


class _Directories:
    """The directories of a TIFF file; of one that is cut off, those before."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        head = read_at(source, 0, _HEADER_BYTES)
        self._order = "<" if head.startswith(b"II") else ">"
        version = struct.unpack_from(self._order + "H", head, 2)[0]
        self._count, self._entry, self._pointer = (
            ("Q", "HHQ8s", "Q") if version == _BIG else ("H", "HHI4s", "I")
        )
        self.first = self._read(8 if version == _BIG else 4, self._pointer)[0]

    def _read(self, position: int, form: str, count: int = 1) -> tuple[int, ...]:
        """Numbers in the file. Raises struct.error where it ends."""
        form = f"{self._order}{count}{form}"
        return struct.unpack(form, read_at(self._source, position, struct.calcsize(form)))

    def chain(self) -> Iterator[_Page]:
        """The directories that Pillow takes for pages."""
        offset, seen = self.first, set[int]()
        while offset and offset not in seen and len(seen) < _MAX_DIRECTORIES:
            seen.add(offset)
            try:
                page = self.load(offset)
            except struct.error:
                return
            yield page
            offset = page.next_offset

    def load_all(self, offsets: tuple[int, ...]) -> Iterator[_Page]:
        """Those of the directories at ``offsets`` that are there."""
        for offset in offsets:
            with suppress(struct.error):
                yield self.load(offset)

    def load(self, offset: int) -> _Page:
        """Raises struct.error where it is not there."""
        content, end = self._entries(offset)
        tags = {}
        for tag, kind, values, field in struct.iter_unpack(self._order + self._entry, content):
            tags[tag] = self._numbers(kind, values, field) if tag in _READ_TAGS else ()
        return _Page(offset, tags, self._read(end, self._pointer)[0])

    def _entries(self, offset: int) -> tuple[bytes, int]:
        """The entries of a directory, and where they end. Raises struct.error where it is not there."""
        (count,) = self._read(offset, self._count)
        start = offset + struct.calcsize(self._order + self._count)
        size = struct.calcsize(self._order + self._entry)
        return read_at(self._source, start, size * min(count, 1 << 16)), start + size * count

    def exif(self, page: _Page) -> bytes | None:
        """What the tags of ``page`` say of the picture; None where they say nothing, or are damaged."""
        left = MAX_METADATA_BYTES

        def read_value(offset: int, size: int) -> bytes:
            nonlocal left
            left -= size
            if left < 0:
                raise struct.error("more metadata than there may be")
            return read_at(self._source, offset, size)

        def read_fields(offset: int, tags: Collection[int] | None) -> list[Field]:
            entries, _ = self._entries(offset)
            return list(split_fields(self._order, self._entry, entries, tags, read_value))

        with suppress(struct.error):
            return build_exif(self._order, page.offset, read_fields)
        # Pillow may know more of it, or has words for what is wrong.
        return None

    def _numbers(self, kind: int, count: int, field: bytes) -> tuple[int, ...]:
        form = _NUMBERS.get(kind)
        if form is None or count > _MAX_DIRECTORIES:
            return ()
        packed = f"{self._order}{count}{form}"
        if struct.calcsize(packed) <= len(field):
            return struct.unpack_from(packed, field)
        return self._read(struct.unpack(self._order + self._pointer, field)[0], form, count)


def read_tiff(image: Image.Image, source: BinaryIO, frame: int | None) -> FileContents:
    """What a TIFF file holds beside what Pillow tells, and beside other pages."""
    directories = _Directories(source)
    pages = list(directories.chain())
    whole = [number for number, page in enumerate(pages) if not page.reduced]
    single = whole[0] if len(whole) == 1 else None
    number = image.tell() if single is None else single
    number = number if frame is None else frame
    if number >= len(pages):
        return FileContents()
    page = pages[number]
    inner = list(directories.load_all(page.tags.get(_SUB_IFDS, ())))
    pictures = [other for other in inner if not other.reduced]
    left_out = [words for tag, words in _LEFT_OUT.items() if tag in page.tags]
    left_out += ["a picture in a sub-directory" for _ in pictures]
    copies = len(inner) - len(pictures) + (len(pages) - 1 if single is not None else 0)
    return FileContents(
        page=single,
        problem=_RAW if page.reduced and pictures else None,
        exif=directories.exif(page),
        left_out=tuple(left_out),
        copies=("a smaller version",) * copies,
    )
