"""Strips of rows, in which a large picture is measured: whole, it would take many times its own memory."""

from __future__ import annotations

_PIXELS = 1 << 17


def strip_rows(width: int) -> int:
    """How many rows of a picture of ``width`` pixels a strip has: an even number."""
    return max(2, _PIXELS // width // 2 * 2)
