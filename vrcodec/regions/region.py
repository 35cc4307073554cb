"""The region of a picture to decode: a crop, and a reduction to a preview."""

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
    """A rectangle in pixels of the whole picture."""

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
    def middle(width: int, height: int, side: int) -> Rectangle:
        """The middle of a picture of ``width`` x ``height``, ``side`` x ``side`` or as much as there is."""
        size = min(width, side), min(height, side)
        return Rectangle((width - size[0]) // 2, (height - size[1]) // 2, *size)

    @staticmethod
    def parse(text: str) -> Rectangle:
        """``X,Y,W,H`` in pixels. Raises UsageError."""
        try:
            left, top, width, height = map(int, text.split(","))
        except ValueError:
            raise UsageError(f"{text!r} is not X,Y,W,H in pixels") from None
        return Rectangle(left, top, width, height)


@dataclass(frozen=True)
class Region:
    """The rectangle ``crop`` of a picture, by default all, reduced to 1/``scale`` in both directions.

    Raises UsageError for a rectangle without pixels, or for a scale that is none of `SCALES`.
    """

    crop: Rectangle | None = None
    scale: int = 1

    def __post_init__(self) -> None:
        if self.scale not in SCALES:
            raise UsageError(f"a scale of 1/{self.scale} is none of 1/2, 1/4, 1/8")
        if self.crop and (min(self.crop.width, self.crop.height) < 1):
            raise UsageError(f"the crop {self.crop} has no pixels")

    def output_mode(self, mode: Mode) -> Mode:
        """The mode of this region of a picture of ``mode``: means of black and white are grey."""
        return "L" if mode == "1" and self.scale > 1 else mode

    def output_size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of this region of a picture of ``width`` x ``height``. Raises UsageError."""
        area = self.rectangle(width, height)
        return -(-area.width // self.scale), -(-area.height // self.scale)

    def rectangle(self, width: int, height: int) -> Rectangle:
        """The crop in a picture of ``width`` x ``height``. Raises UsageError when it is not inside."""
        crop = self.crop or Rectangle(0, 0, width, height)
        if min(crop.left, crop.top) < 0 or crop.right > width or crop.bottom > height:
            raise UsageError(f"the crop {crop} is not inside the picture of {width}x{height}")
        return crop


WHOLE = Region()
