"""What a user may choose about pictures that come in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from vrcodec.errors import UsageError
from vrcodec.limits import DEFAULT_LIMITS, Limits

IccChoice = Literal["keep", "srgb", "strip"]

METADATA_KINDS = ("icc", "exif", "xmp")


@dataclass(frozen=True)
class Intake:
    """How pictures are taken in.

    ``strip``: kinds of metadata to leave out, of `METADATA_KINDS`. ``icc``: keep the profile, convert colours
    to sRGB by it, or leave it out. ``reduce_depth``: round more than 8 bits a sample to 8. ``frame``: which
    picture of several, from 0; None refuses several.
    """

    strip: frozenset[str] = frozenset()
    icc: IccChoice = "keep"
    reduce_depth: bool = False
    frame: int | None = None
    limits: Limits = DEFAULT_LIMITS

    def __post_init__(self) -> None:
        if self.icc not in get_args(IccChoice):
            raise UsageError(f"a profile is kept, srgb or stripped: {self.icc!r} is none of these")
        if self.frame is not None and self.frame < 0:
            raise UsageError(f"frames are counted from 0, and {self.frame} is below")

    @property
    def drops_colours(self) -> bool:
        """Whether what a file says of its colours is left out, and they are taken as sRGB's."""
        return self.icc == "strip" or (self.icc == "keep" and "icc" in self.strip)


DEFAULT_INTAKE = Intake()


def kinds_to_strip(given: bool | str | Iterable[str]) -> frozenset[str]:
    """True or "all": every kind; names, or one text with commas: those. Raises UsageError."""
    if isinstance(given, bool):
        return frozenset(METADATA_KINDS if given else ())
    texts = [given] if isinstance(given, str) else given
    names = {name.strip() for text in texts for name in text.split(",")}
    unknown = names - {*METADATA_KINDS, "all"}
    if unknown:
        raise UsageError(
            f"cannot strip {sorted(unknown)[0]!r}; there are all, {', '.join(METADATA_KINDS)}"
        )
    return frozenset(METADATA_KINDS if "all" in names else names)
