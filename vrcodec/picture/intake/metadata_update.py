"""Metadata that stay with samples which have changed: what is untrue of them now is removed or set right."""

from __future__ import annotations

from vrcodec.picture.intake.exif_update import update_exif
from vrcodec.picture.intake.pixel_change import PixelChange
from vrcodec.picture.intake.xmp_update import update_xmp
from vrcodec.picture.metadata import Metadata
from vrcodec.picture.notes import Note


def update_metadata(metadata: Metadata, change: PixelChange) -> tuple[Metadata, tuple[Note, ...]]:
    """EXIF and XMP that are true after ``change``, byte for byte where they were; and what was done to them."""
    exif, xmp, notes = metadata.exif, metadata.xmp, []
    if exif:
        exif, done = update_exif(exif, change)
        notes += [Note(f"EXIF: {', '.join(done)}")] if done else []
    if xmp:
        xmp, done = update_xmp(xmp, change)
        notes += [Note(f"XMP: {', '.join(done)}")] if done else []
        if xmp is None:
            notes.append(
                Note(
                    "left out: XMP that is no longer true, in a form that cannot be edited",
                    lost=True,
                )
            )
    return Metadata(exif=exif, xmp=xmp), tuple(notes)
