"""What was done to the samples of a file, by which what its metadata say of them may be true no longer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PixelChange:
    """``width`` and ``height``: of the picture, after all of it.

    ``moved``: turned or cropped, so that places and sizes are others. ``to_srgb``: converted. ``other_frame``:
    not the one that a viewer shows first.
    """

    width: int
    height: int
    moved: bool = False
    to_srgb: bool = False
    other_frame: bool = False

    @property
    def looks_other(self) -> bool:
        """Whether a thumbnail of before shows another picture."""
        return self.moved or self.to_srgb or self.other_frame
