"""Metadata of a picture: ICC profile, EXIF and XMP."""

from __future__ import annotations

from dataclasses import dataclass

# Before the EXIF data of JPEG files, and of what Pillow takes and gives.
EXIF_PREFIX = b"Exif\0\0"


@dataclass(frozen=True)
class Metadata:
    """``icc``: an ICC profile. ``exif``: a TIFF structure, without JPEG's prefix. ``xmp``: an XMP packet.

    Each as the bytes that stood in the file, None where there were none.
    """

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None

    @property
    def empty(self) -> bool:
        """Whether there is no metadata of any kind."""
        return not (self.icc or self.exif or self.xmp)

    def to_info(self) -> dict[str, bytes]:
        """What there is, as Pillow has it in the ``info`` of an image."""
        named = {
            "icc_profile": self.icc,
            "exif": self.exif and EXIF_PREFIX + self.exif,
            "xmp": self.xmp,
        }
        return {name: content for name, content in named.items() if content}
