"""What a file says that Pillow does not tell: depth, code points of colours, checksums of PNG."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class FileFacts:
    """``depth``: bits a sample, None where Pillow knows. ``cicp``: primaries and transfer of ITU-T H.273."""

    depth: int | None = None
    cicp: tuple[int, int] | None = None


def file_facts(source: BinaryIO | None, name: str) -> FileFacts:
    """Facts of a PNG or AVIF file, whose position is left as it was; of any other, none.

    Raises InputError for a damaged PNG.
    """
    if source is None or getattr(source, "closed", False):
        return FileFacts()
    from vrcodec.picture.intake import avif, png

    position = source.tell()
    try:
        source.seek(0)
        head = source.read(16)
        if head.startswith(PNG_SIGNATURE):
            source.seek(len(PNG_SIGNATURE))
            return png.checked_facts(source, name)
        if head[4:8] == b"ftyp":
            source.seek(0)
            return avif.facts(source)
        return FileFacts()
    finally:
        source.seek(position)
