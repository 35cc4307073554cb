"""Looking into a file for what Pillow does not tell of it."""

from __future__ import annotations

from typing import BinaryIO

from vrcodec.picture.intake import avif, png
from vrcodec.picture.intake.facts import FileFacts


def file_facts(source: BinaryIO | None, name: str) -> FileFacts:
    """Facts of a PNG or AVIF file, whose position is left as it was; of any other, none.

    Raises InputError for a damaged PNG.
    """
    if source is None or getattr(source, "closed", False):
        return FileFacts()
    position = source.tell()
    try:
        source.seek(0)
        head = source.read(16)
        if head.startswith(png.SIGNATURE):
            source.seek(len(png.SIGNATURE))
            return png.checked_facts(source, name)
        if head[4:8] == b"ftyp":
            source.seek(0)
            return avif.facts(source)
        return FileFacts()
    finally:
        source.seek(position)
