"""What a file says that Pillow does not tell: depth, code points of colours, checksums of PNG."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FileFacts:
    """``depth``: bits a sample, None where Pillow knows. ``cicp``: primaries and transfer of ITU-T H.273."""

    depth: int | None = None
    cicp: tuple[int, int] | None = None
