"""The options of reading a picture: which metadata to strip, what to convert, which frame, and limits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from vrcodec.errors import UsageError
from vrcodec.limits import DEFAULT_LIMITS, Limits

IccChoice = Literal["keep", "srgb", "strip"]

METADATA_KINDS = ("icc", "exif", "xmp")


@dataclass(frozen=True)
class ReadOptions:
    """How a picture is read.

    ``strip``: kinds of metadata to leave out, of `METADATA_KINDS`. ``icc``: keep the profile, convert colours
    to sRGB by it, or leave it out. ``reduce_depth``: round more than 8 bits a sample to 8. ``frame``: which
    picture of several, from 0; None refuses several. ``on_offer``: whether the user can choose these two, and
    messages may say so.
    """

    strip: frozenset[str] = frozenset()
    icc: IccChoice = "keep"
    reduce_depth: bool = False
    frame: int | None = None
    limits: Limits = DEFAULT_LIMITS
    on_offer: bool = True

    def __post_init__(self) -> None:
        if self.icc not in get_args(IccChoice):
            raise UsageError(f"a profile is kept, srgb or stripped: {self.icc!r} is none of these")
        if self.frame is not None and self.frame < 0:
            raise UsageError(f"frames are counted from 0, and {self.frame} is below")

    @property
    def assumes_srgb(self) -> bool:
        """Whether the file's description of its colours is ignored, and they are taken for sRGB."""
        return self.icc == "strip" or (self.icc == "keep" and "icc" in self.strip)


DEFAULT_READ_OPTIONS = ReadOptions()


def parse_strip(choice: bool | str | Iterable[str]) -> frozenset[str]:
    """The kinds of metadata to strip: all for True or "all", else those named, one by one or with commas.

    Raises UsageError.
    """
    if isinstance(choice, bool):
        return frozenset(METADATA_KINDS if choice else ())
    texts = [choice] if isinstance(choice, str) else choice
    names = {name.strip() for text in texts for name in text.split(",")}
    unknown = names - {*METADATA_KINDS, "all"}
    if unknown:
        raise UsageError(
            f"cannot strip {sorted(unknown)[0]!r}; there are all, {', '.join(METADATA_KINDS)}"
        )
    return frozenset(METADATA_KINDS if "all" in names else names)
