"""Limits on sizes and counts, checked before anything is allocated."""

from __future__ import annotations

from dataclasses import dataclass

from vrcodec.errors import LimitError


@dataclass(frozen=True)
class Limits:
    """Limits of a file or picture. ``max_pixels`` is the one that users change."""

    max_pixels: int = 1 << 28
    max_side: int = 1 << 20
    # Enough for a picture of 2^33 pixels: 2^13 blocks, each with a chunk of latents and one of alpha.
    max_chunks: int = 1 << 14
    max_chunk_bytes: int = 1 << 28
    max_file_bytes: int = 1 << 31
    # Of one ICC profile, EXIF structure or XMP packet, unpacked.
    max_metadata_bytes: int = 1 << 24

    def check_picture(self, name: str, width: int, height: int) -> None:
        """Raise LimitError for a picture of ``width`` x ``height`` pixels that is over a limit."""
        if max(width, height) > self.max_side:
            raise LimitError(f"{name}: a side of {max(width, height)} pixels is over the limit")
        if width * height > self.max_pixels:
            raise LimitError(
                f"{name}: {width}x{height} is {width * height} pixels, over the limit of "
                f"{self.max_pixels}; raise it with --max-pixels if you trust the file"
            )


DEFAULT_LIMITS = Limits()
