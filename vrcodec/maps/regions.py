"""Regions of interest: shapes with levels, as words, and the quality map that they make."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vrcodec.bitstream.quality_map import QualityMap
from vrcodec.errors import UsageError
from vrcodec.limits import DEFAULT_LIMITS, Limits
from vrcodec.maps.annotations import read_shape
from vrcodec.maps.levels import map_from_cells
from vrcodec.maps.shapes import Box, Polygon, Shape, as_coordinates, feather
from vrcodec.rate import BACKGROUND_LEVEL, MAX_FEATHER, REGION_LEVEL

_LEVEL = re.compile(r"(?s)(.+?)(?::([-+.\deE]+))?")
_NUMBERS = re.compile(r"[-+.,;\d\s]+")
_SEPARATOR = re.compile(r"\s*[,;]\s*|\s+")
# A file, and what is chosen in it.
_FILE = re.compile(r"(?s)(.+?\.\w+)(?:#(.+))?")


@dataclass(frozen=True)
class RegionOfInterest:
    """A shape and its level in [0, 1]. ``name``: what a user calls it, for messages."""

    shape: Shape
    level: float
    name: str = "of interest"


class RegionWords(NamedTuple):
    """A region as a user says it.

    ``where``: coordinates, a file of annotations, or a picture. ``selection``: what is chosen in a file.
    ``level``: in [0, 1].
    """

    where: str | Path
    selection: str | None
    level: float

    @staticmethod
    def parse(text: str, level: float = REGION_LEVEL) -> RegionWords:
        """Parse X,Y,W,H, or X,Y,X,Y,X,Y... of a polygon, or FILE or FILE#WHAT, each with :Q or not.

        ``level``: without :Q. Raises UsageError.
        """
        match = _LEVEL.fullmatch(text.strip())
        if not match:
            raise _not_a_region(text)
        where, given = match.groups()
        try:
            level = float(given) if given else level
        except ValueError:
            raise UsageError(f"{given!r} in {text!r} is not a level") from None
        if not 0 <= level <= 1:
            raise UsageError(
                f"a level must lie between 0 and 1, and {level:g} in {text!r} does not"
            )
        if _NUMBERS.fullmatch(where):
            return RegionWords(where, None, level)
        file = _FILE.fullmatch(where)
        if not file:
            raise _not_a_region(text)
        return RegionWords(Path(file[1]), file[2], level)

    def read(self, limits: Limits = DEFAULT_LIMITS) -> RegionOfInterest:
        """The region itself. Raises UsageError, or for a file what `read_shape` does."""
        if isinstance(self.where, Path):
            shape = read_shape(self.where, self.selection, limits)
        else:
            shape = _parse_shape(self.where)
        name = f"{self.where}#{self.selection}" if self.selection else f"{self.where}"
        return RegionOfInterest(shape, self.level, name)


def _parse_shape(text: str) -> Shape:
    try:
        numbers = as_coordinates(_SEPARATOR.split(text.strip()))
    except ValueError:
        raise _not_a_region(text) from None
    if len(numbers) == 4:
        return Box(*numbers.tolist())
    if len(numbers) < 6 or len(numbers) % 2:
        raise _not_a_region(text)
    return Polygon(numbers.reshape(-1, 2))


def _not_a_region(text: str) -> UsageError:
    return UsageError(
        f"{text!r} is not a region: neither a box X,Y,W,H such as 100,50,320,240 or 100,50,320,240:0.9, nor a "
        "polygon X,Y,X,Y,X,Y, nor a file such as labels.json#person or mask.png"
    )


@dataclass(frozen=True)
class Surroundings:
    """What is around regions.

    ``level``: in [0, 1]. ``feather``: pixels over which a region's level goes over into that.
    """

    level: float = BACKGROUND_LEVEL
    feather: float = 0

    def __post_init__(self) -> None:
        """Raise UsageError for what is out of range."""
        if not 0 <= self.level <= 1:
            raise UsageError(f"a level must lie between 0 and 1, and {self.level:g} does not")
        if not 0 <= self.feather <= MAX_FEATHER:
            raise UsageError(f"a region is feathered over 0 to {MAX_FEATHER} pixels")


def map_from_regions(
    regions: Sequence[RegionOfInterest], around: Surroundings, width: int, height: int
) -> QualityMap:
    """The map of a picture of ``width`` x ``height``; later regions lie on top of earlier ones.

    A cell that is covered in part has the mean level of its parts. Raises UsageError for a region that covers
    nothing.
    """
    levels = np.full(QualityMap.grid_shape(width, height), float(around.level))
    for region in regions:
        covered = region.shape.coverage(width, height)
        if not covered.any():
            raise UsageError(
                f"the region {region.name} lies outside the picture of {width}x{height}, or is empty"
            )
        if around.feather:
            covered = feather(covered, around.feather)
        levels += covered * (region.level - levels)
    return map_from_cells(levels)
