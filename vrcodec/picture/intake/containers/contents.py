"""What a picture file holds beside what Pillow tells of it."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from vrcodec.picture.intake.icc_profile import Colours
from vrcodec.picture.notes import Note

# Zeros and white space behind a picture are padding, and no news.
_PADDING = b"\0\t\n\r "
_READ_BYTES = 1 << 12
# The first box of a video, at the start of what lies behind a picture, or behind its name there; and its brands
# of pictures.
_FILE_TYPE, _SNIFFED_BYTES = re.compile(rb"ftyp(....)", re.DOTALL), 1 << 12
_PICTURE_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1")

# Signed statements on where a picture comes from; they hold for the very bytes of its file.
C2PA = "the C2PA manifest (content credentials)"

# Start and end of a picture in a file.
Part = tuple[int, int]


@dataclass(frozen=True)
class FileContents:
    """What stands in a picture file beside what Pillow tells of it.

    ``parts``: the whole pictures that lie one behind the other, where a file of this format may have several.
    ``page``: the page that is the picture, where the others are versions or layers of it. ``problem``: why the
    file cannot be read as it is meant; ``colour_problem``: why what it says of its colours cannot be kept.
    ``icc``: a profile. ``colours``: tone curve and primaries. ``exif``: a block. ``xmp``: a packet.
    ``clean_aperture``: left, top, width and height of what is to be shown, in pixels as they are coded.
    ``left_out``: what a file has and a picture cannot have. ``copies``: what is left out with no loss: smaller
    versions of the same picture.
    """

    parts: tuple[Part, ...] = ()
    page: int | None = None
    problem: str | None = None
    colour_problem: str | None = None
    icc: bytes | None = None
    colours: Colours | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    clean_aperture: tuple[int, int, int, int] | None = None
    left_out: tuple[str, ...] = ()
    copies: tuple[str, ...] = ()

    def notes(self) -> Iterator[Note]:
        """What the user should know of it."""
        if self.left_out:
            yield Note(f"left out: {_count(self.left_out)}", lost=True)
        if self.copies:
            yield Note(f"left out: {_count(self.copies)}")
        if self.clean_aperture is not None:
            yield Note("cropped to its clean aperture")


def _count(things: tuple[str, ...]) -> str:
    """Each once, with how many there are of it."""
    counted = Counter(things).items()
    return "; ".join(
        thing if count == 1 else f"{thing} ({count} times)" for thing, count in counted
    )


def file_size(source: BinaryIO) -> int:
    """Bytes of a file, whose position then is its end."""
    return source.seek(0, io.SEEK_END)


def read_at(source: BinaryIO, position: int, count: int = -1) -> bytes:
    """Up to ``count`` bytes from ``position`` on; all of them where it is negative."""
    # A file object asks for all the memory at once, whatever is there.
    there = max(0, file_size(source) - position)
    source.seek(position)
    return source.read(there if count < 0 else min(count, there))


def split_pictures(
    source: BinaryIO, signature: bytes, find_end: Callable[[int], int]
) -> tuple[Part, ...]:
    """The pictures of one format that lie one behind the other.

    ``find_end``: from the start of a picture to its end, or to that of the file.
    """
    parts, start = [(0, find_end(0))], 0
    while True:
        start = skip_padding(source, parts[-1][1])
        if read_at(source, start, len(signature)) != signature:
            return tuple(parts)
        parts.append((start, find_end(start)))


def skip_padding(source: BinaryIO, position: int) -> int:
    """The first position from ``position`` on that is no padding; the end of the file where all is."""
    source.seek(position)
    while piece := source.read(_READ_BYTES):
        content = piece.lstrip(_PADDING)
        if content:
            return position + len(piece) - len(content)
        position += len(piece)
    return position


def describe_rest(source: BinaryIO, end: int, until: int | None = None) -> tuple[str, ...]:
    """What lies from the ``end`` of a picture to ``until``, or the file's end; nothing where it is padding."""
    until = file_size(source) if until is None else until
    if skip_padding(source, end) >= until:
        return ()
    count = until - end
    kind = _FILE_TYPE.search(read_at(source, end, _SNIFFED_BYTES))
    if kind is None:
        return (f"{count:,} bytes behind the end of the picture",)
    what = "another picture" if kind[1] in _PICTURE_BRANDS else "the video of a motion photo"
    return (f"{what} ({count:,} bytes)",)
