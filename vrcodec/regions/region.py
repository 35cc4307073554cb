"""Which part of a picture is decoded, and how finely."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vrcodec.errors import UsageError

if TYPE_CHECKING:
    from vrcodec.picture.picture import Mode

# A pixel of a preview is the mean of a square of so many pixels a side.
SCALES = (1, 2, 4, 8)


@dataclass(frozen=True)
class Rectangle:
    """In pixels of the whole picture."""

    left: int
    top: int
    width: int
    height: int

    @property
    def right(self) -> int:
        """The first column behind it."""
        return self.left + self.width

    @property
    def bottom(self) -> int:
        """The first row below it."""
        return self.top + self.height

    def __str__(self) -> str:
        return f"{self.left},{self.top},{self.width},{self.height}"

    @staticmethod
    def parse(text: str) -> Rectangle:
        """``X,Y,W,H`` in pixels. Raises UsageError."""
        try:
            left, top, width, height = map(int, text.split(","))
        except ValueError:
            raise UsageError(f"{text!r} is not X,Y,W,H in pixels") from None
        return Rectangle(left, top, width, height)


@dataclass(frozen=True)
class View:
    """A part of a picture, ``crop``, by default all; of that a preview of 1/``scale`` in both directions.

    Raises UsageError for a rectangle without pixels, or for a scale that there is not.
    """

    crop: Rectangle | None = None
    scale: int = 1

    def __post_init__(self) -> None:
        if self.scale not in SCALES:
            raise UsageError(f"a scale of 1/{self.scale} is none of 1/2, 1/4, 1/8")
        if self.crop and (min(self.crop.width, self.crop.height) < 1):
            raise UsageError(f"the crop {self.crop} has no pixels")

    def mode(self, own: Mode) -> Mode:
        """The mode of what it shows of a picture of mode ``own``: means of black and white are grey."""
        return "L" if own == "1" and self.scale > 1 else own

    def rectangle(self, width: int, height: int) -> Rectangle:
        """What it shows of a picture of ``width`` x ``height``. Raises UsageError when that is beyond it."""
        whole = Rectangle(0, 0, width, height)
        found = self.crop or whole
        if min(found.left, found.top) < 0 or found.right > width or found.bottom > height:
            raise UsageError(f"the crop {found} is not inside the picture of {width}x{height}")
        return found


WHOLE = View()
