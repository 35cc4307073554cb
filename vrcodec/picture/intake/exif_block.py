"""The directories of an EXIF block (CIPA DC-008), read and changed in place.

Nothing is moved but entries within their directory: maker's notes have offsets that no one else can read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

# What EXIF blocks begin with, as TIFF files do -> the order of their bytes, as `struct` has it.
TIFF_MAGICS = {b"II*\0": "<", b"MM\0*": ">"}

# Tags and values on the colours.
COLOUR_SPACE, INTEROP_INDEX = 0xA001, 0x0001
UNCALIBRATED, DCF_OPTION_FILE = 0xFFFF, b"R03"

# Pointers to further directories.
EXIF, GPS, INTEROP = 0x8769, 0x8825, 0xA005
# Where the thumbnail lies, and bytes of it; as JPEG, and as strips of samples.
_THUMBNAIL_DATA = ((0x0201, 0x0202), (0x0111, 0x0117))
COUNT_BYTES, ENTRY_BYTES, POINTER_BYTES = 2, 12, 4
SHORT, LONG = 3, 4
_NUMBERS = {1: "B", SHORT: "H", LONG: "I"}
# Bytes a value, by its type.
TYPE_BYTES = dict(enumerate((1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4), start=1))

# Start and end of bytes in the block.
_Range = tuple[int, int]


@dataclass(frozen=True)
class Entry:
    """A field of a directory. ``offset``: of its 12 bytes. ``type``: of its ``count`` values, as in TIFF."""

    offset: int
    tag: int
    type: int
    count: int


class ExifBlock:
    """An EXIF block. Of what is broken in it there are no entries; ``content`` is its bytes, as changed."""

    def __init__(self, content: bytes) -> None:
        self.content = bytearray(content)
        self.order = TIFF_MAGICS.get(content[:4], "<")
        readable = content[:4] in TIFF_MAGICS and len(content) >= 8
        # The first directory, and those that it points to; None where there is none.
        self.main = self._number(4, "I") if readable else None
        self.exif = self.number(self.main, EXIF)
        self.gps = self.number(self.main, GPS)
        self.interop = self.number(self.exif, INTEROP)

    def _number(self, offset: int, form: str) -> int:
        return int(struct.unpack_from(self.order + form, self.content, offset)[0])

    def entries(self, directory: int | None) -> Iterator[Entry]:
        """The entries of the directory at this offset, as far as it is there."""
        if directory is None or directory + COUNT_BYTES > len(self.content):
            return
        start = directory + COUNT_BYTES
        end = min(self._entries_end(directory), len(self.content) - ENTRY_BYTES + 1)
        for offset in range(start, end, ENTRY_BYTES):
            yield Entry(offset, *struct.unpack_from(self.order + "HHI", self.content, offset))

    def _entries_end(self, directory: int) -> int:
        return directory + COUNT_BYTES + ENTRY_BYTES * self._number(directory, "H")

    def find(self, directory: int | None, tag: int) -> Entry | None:
        """The first entry with ``tag``."""
        return next((entry for entry in self.entries(directory) if entry.tag == tag), None)

    def number(self, directory: int | None, tag: int) -> int | None:
        """The value of the first entry with ``tag``; None where there is none, or no single number."""
        entry = self.find(directory, tag)
        return None if entry is None else self.value(entry)

    def value(self, entry: Entry) -> int | None:
        """The number of an entry that has one; None where it has several, or something else."""
        form = _NUMBERS.get(entry.type)
        return self._number(entry.offset + 8, form) if form and entry.count == 1 else None

    def values(self, entry: Entry) -> bytes:
        """The bytes of an entry's values, as far as they are there."""
        size = TYPE_BYTES.get(entry.type, 1) * entry.count
        start = entry.offset + 8 if size <= 4 else self._number(entry.offset + 8, "I")
        return bytes(self.content[start : start + size])

    def text(self, directory: int | None, tag: int) -> bytes:
        """The text of the first entry with ``tag``, without zeros at its end; empty where there is none."""
        entry = self.find(directory, tag)
        return b"" if entry is None else self.values(entry).rstrip(b"\0")

    def set_number(self, directory: int | None, tag: int, value: int) -> bool:
        """Give the first entry with ``tag`` another number; whether it had another.

        A SHORT that it does not fit becomes a LONG, in the same place.
        """
        entry = self.find(directory, tag)
        if entry is None or self.value(entry) in (None, value):
            return False
        self.set_value(entry, value)
        return True

    def set_value(self, entry: Entry, value: int) -> None:
        """Give an entry that has one number another."""
        kind = LONG if entry.type == SHORT and value > 0xFFFF else entry.type
        struct.pack_into(f"{self.order}HI4x", self.content, entry.offset + 2, kind, 1)
        struct.pack_into(self.order + _NUMBERS[kind], self.content, entry.offset + 8, value)

    def set_text(self, directory: int | None, tag: int, text: bytes) -> None:
        """Give the first entry with ``tag``, if there is one, another text of up to three letters."""
        entry = self.find(directory, tag)
        if entry is not None:
            self.content[entry.offset + 8 : entry.offset + 12] = text.ljust(4, b"\0")

    def remove(self, directory: int | None, tag: int) -> bool:
        """Take an entry out of a directory that is whole; whether there was one.

        The entries behind it move up; the values that lie elsewhere stay where they are.
        """
        entry = self.find(directory, tag)
        if directory is None or entry is None:
            return False
        end = self._entries_end(directory) + POINTER_BYTES
        if end > len(self.content):
            return False
        behind = self.content[entry.offset + ENTRY_BYTES : end]
        self.content[entry.offset : end] = behind + bytes(ENTRY_BYTES)
        count = self._number(directory, "H") - 1
        struct.pack_into(self.order + "H", self.content, directory, count)
        return True

    def remove_thumbnail(self) -> bool:
        """Take out the directory of the thumbnail, and what nothing but that has; whether there was one.

        At the end of the block they are cut off, elsewhere set to zero.
        """
        if self.main is None or self.main + COUNT_BYTES > len(self.content):
            return False
        pointer = self._entries_end(self.main)
        if pointer + POINTER_BYTES > len(self.content) or not self._number(pointer, "I"):
            return False
        thumbnail = self._number(pointer, "I")
        own = [part for part in self._ranges(thumbnail) if part[0] < part[1]]
        own += self._thumbnail_data(thumbnail)
        others = [(0, 8)]
        for directory in (self.main, self.exif, self.gps, self.interop):
            others += self._ranges(directory)
        struct.pack_into(self.order + "I", self.content, pointer, 0)
        for start, end in own:
            if not any(
                start < other_end and other_start < end for other_start, other_end in others
            ):
                self.content[start:end] = bytes(end - start)
        self._cut_zeros(own, max(end for _, end in others))
        return True

    def _ranges(self, directory: int | None) -> list[_Range]:
        """The bytes of a directory, and those of values that lie outside of it."""
        if directory is None or directory + COUNT_BYTES > len(self.content):
            return []
        ranges = [(directory, self._entries_end(directory) + POINTER_BYTES)]
        for entry in self.entries(directory):
            size = TYPE_BYTES.get(entry.type, 1) * entry.count
            if size > 4:
                start = self._number(entry.offset + 8, "I")
                ranges.append((start, start + size))
        return [(start, min(end, len(self.content))) for start, end in ranges]

    def _thumbnail_data(self, thumbnail: int) -> Iterator[_Range]:
        for offset_tag, size_tag in _THUMBNAIL_DATA:
            start, size = self.number(thumbnail, offset_tag), self.number(thumbnail, size_tag)
            if start and size:
                yield start, min(start + size, len(self.content))

    def _cut_zeros(self, removed: list[_Range], needed: int) -> None:
        """Cut off what was removed at the end, where nothing but zeros stands behind ``needed`` bytes."""
        if any(end == len(self.content) for _, end in removed) and not any(self.content[needed:]):
            del self.content[max(needed, 8) :]
