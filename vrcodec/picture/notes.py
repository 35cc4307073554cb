"""What the reader of a picture file has to tell its user."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Note:
    """A sentence without the name of the file.

    ``lost``: whether it is a warning, that something of the file is not in the picture; else it says how
    metadata were kept true.
    """

    text: str
    lost: bool = False
