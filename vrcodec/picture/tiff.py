"""Writing TIFF files: compressed without loss, with ICC profile, XMP and all that EXIF says.

Pillow loses the directories of EXIF where it compresses. Here an EXIF block, which is a TIFF structure itself,
is the beginning of the file: whatever it points to stays where it was, maker's notes, too. A new directory at
the end has its entries, and those of the picture.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from vrcodec.errors import LimitError
from vrcodec.picture.intake.exif_block import TIFF_MAGICS, TYPE_BYTES
from vrcodec.picture.picture import Picture

_BYTE, _SHORT, _LONG, _UNDEFINED = 1, 3, 4, 7
_EMPTY = b"II*\0" + bytes(4)

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _STRIP_OFFSETS = 256, 257, 258, 259, 262, 273
_SAMPLES, _ROWS_PER_STRIP, _STRIP_BYTES, _PREDICTOR, _EXTRA_SAMPLES = 277, 278, 279, 317, 338
_XMP, _ICC = 700, 34675
_DEFLATE, _HORIZONTAL_DIFFERENCES = 8, 2
_BLACK_IS_ZERO, _RGB = 1, 2
_UNASSOCIATED_ALPHA = 2
# Tags of an EXIF block that say how the samples of its own file are laid out.
_LAYOUT = frozenset(
    {*range(254, 267), 273, *range(277, 282), 284, *range(288, 294), 317, *range(320, 326)}
    | {330, *range(332, 335), *range(336, 344), 347, *range(512, 522), *range(529, 533)}
    | {_XMP, _ICC}
)

_STRIP_TARGET_BYTES = 1 << 18
_MAX_BYTES = (1 << 32) - 1

# An entry of a directory without its tag: type, count, and four bytes, of the values or where they are.
_Entry = tuple[int, int, bytes]


def build_tiff(picture: Picture) -> bytes:
    """The bytes of a TIFF file of the picture. EXIF that is damaged is left out (`read_directory`).

    Raises LimitError beyond 4 GiB.
    """
    metadata = picture.metadata
    file = _begin_file(metadata.exif)
    _add_samples(file, picture)
    if metadata.xmp:
        file.add_bytes(_XMP, _BYTE, metadata.xmp)
    if metadata.icc:
        file.add_bytes(_ICC, _UNDEFINED, metadata.icc)
    return file.finish()


def _begin_file(exif: bytes | None) -> _File:
    if exif and (directory := read_directory(exif)):
        return _File(exif, directory[0])
    return _File(_EMPTY, {})


def read_directory(exif: bytes) -> tuple[dict[int, _Entry], bool] | None:
    """The first directory of an EXIF block, without layout; and whether another, of a thumbnail, follows.

    None where it is damaged.
    """
    order = TIFF_MAGICS.get(exif[:4])
    if order is None:
        return None
    try:
        start = struct.unpack_from(order + "I", exif, 4)[0]
        count = struct.unpack_from(order + "H", exif, start)[0]
        (following,) = struct.unpack_from(order + "I", exif, start + 2 + 12 * count)
        entries = {}
        for offset in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, values = struct.unpack_from(order + "HHI", exif, offset)
            content = exif[offset + 8 : offset + 12]
            size = TYPE_BYTES.get(kind, 1) * values
            if size > 4 and struct.unpack(order + "I", content)[0] + size > len(exif):
                return None
            if tag not in _LAYOUT:
                entries[tag] = kind, values, content
    except struct.error:
        return None
    return entries, following != 0


class _File:
    """A TIFF file that grows: ``start`` is its header, and whatever the ``entries`` point to."""

    def __init__(self, start: bytes, entries: dict[int, _Entry]) -> None:
        self._order = TIFF_MAGICS[start[:4]]
        self._data = bytearray(start)
        self._entries = dict(entries)

    def append(self, content: bytes) -> int:
        """Where ``content`` has been put: at an even offset, as the format wants it. Raises LimitError."""
        self._data += bytes(len(self._data) % 2)
        offset = len(self._data)
        if offset + len(content) > _MAX_BYTES:
            raise LimitError(
                f"a tiff file has at most {_MAX_BYTES} bytes; write a .png, or a part with --crop"
            )
        self._data += content
        return offset

    def add_bytes(self, tag: int, kind: int, content: bytes) -> None:
        """An entry of ``content``, whose values take a byte each."""
        self._add(tag, kind, len(content), content)

    def add_numbers(self, tag: int, kind: int, *values: int) -> None:
        """An entry of SHORT or LONG values."""
        form = "H" if kind == _SHORT else "I"
        content = struct.pack(f"{self._order}{len(values)}{form}", *values)
        self._add(tag, kind, len(values), content)

    def _add(self, tag: int, kind: int, count: int, content: bytes) -> None:
        if len(content) > 4:
            content = struct.pack(self._order + "I", self.append(content))
        self._entries[tag] = kind, count, content.ljust(4, b"\0")

    def finish(self) -> bytes:
        """The whole file, with its directory. Raises LimitError."""
        directory = struct.pack(self._order + "H", len(self._entries))
        for tag, (kind, count, content) in sorted(self._entries.items()):
            directory += struct.pack(self._order + "HHI", tag, kind, count) + content
        # No directory follows.
        offset = self.append(directory + bytes(4))
        struct.pack_into(self._order + "I", self._data, 4, offset)
        return bytes(self._data)


def _add_samples(file: _File, picture: Picture) -> None:
    array = picture.to_array()
    bilevel = array.dtype == np.bool_
    channels = array.shape[2] if array.ndim == 3 else 1
    samples = np.packbits(array, axis=1) if bilevel else array.view(np.uint8)
    rows = max(1, _STRIP_TARGET_BYTES // samples[0].nbytes)
    strips = list(_compressed_strips(samples, rows, differences=not bilevel))
    file.add_numbers(_WIDTH, _LONG, picture.width)
    file.add_numbers(_HEIGHT, _LONG, picture.height)
    file.add_numbers(_BITS, _SHORT, *[1 if bilevel else 8] * channels)
    file.add_numbers(_COMPRESSION, _SHORT, _DEFLATE)
    file.add_numbers(_PHOTOMETRIC, _SHORT, _RGB if channels >= 3 else _BLACK_IS_ZERO)
    file.add_numbers(_STRIP_OFFSETS, _LONG, *map(file.append, strips))
    file.add_numbers(_SAMPLES, _SHORT, channels)
    file.add_numbers(_ROWS_PER_STRIP, _LONG, rows)
    file.add_numbers(_STRIP_BYTES, _LONG, *map(len, strips))
    if not bilevel:
        file.add_numbers(_PREDICTOR, _SHORT, _HORIZONTAL_DIFFERENCES)
    if picture.alpha is not None:
        file.add_numbers(_EXTRA_SAMPLES, _SHORT, _UNASSOCIATED_ALPHA)


def _compressed_strips(
    samples: npt.NDArray[np.uint8], rows: int, *, differences: bool
) -> Iterator[bytes]:
    """Strips of so many ``rows``, each compressed; with ``differences``, of each sample from the one before."""
    for top in range(0, len(samples), rows):
        strip = samples[top : top + rows]
        if differences:
            # Modulo 256, as the format has them.
            strip = np.diff(strip, axis=1, prepend=np.zeros_like(strip[:, :1]))
        yield zlib.compress(strip.tobytes())
