"""What users call weights."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from vrcodec.catalog.index import Release, parse_id
from vrcodec.catalog.installed import DEFAULT_TUNE, WeightsEntry
from vrcodec.errors import WeightsError

Named = TypeVar("Named", Release, WeightsEntry)

_NAME = re.compile(r"(?P<family>[a-z][a-z0-9_]*)(?:[@-](?P<version>\d{1,6}))?")


@dataclass(frozen=True)
class Wanted:
    """Weights by their id, or by family and generation; without either of these the newest.

    ``family``: or the name of a network of one's own.
    """

    id: bytes | None = None
    family: str = ""
    version: int | None = None

    @classmethod
    def parse(cls, text: str) -> Wanted:
        """Of an id, FAMILY, FAMILY@VERSION or FAMILY-VERSION. Raises WeightsError."""
        try:
            return cls(id=parse_id(text))
        except ValueError:
            match = _NAME.fullmatch(text)
        if match is None:
            raise WeightsError(
                f"{text!r} is no name of weights: give an id (16 digits), a family such as qvrf, "
                "a generation such as qvrf@3, a URL, or the path of a file"
            )
        version = match["version"]
        return cls(family=match["family"], version=int(version) if version else None)

    def find(self, known: Sequence[Named]) -> Named | None:
        """The one of ``known`` that is wanted. Of a family the newest, with the tune that is the default."""
        if self.id is not None:
            return next((one for one in known if one.id == self.id), None)
        of_family = [one for one in known if one.model == self.family]
        if self.version is not None:
            return next((one for one in of_family if one.version == self.version), None)
        return max(of_family, key=lambda one: (one.tune == DEFAULT_TUNE, one.version), default=None)

    def __str__(self) -> str:
        if self.id is not None:
            return self.id.hex()
        return self.family + ("" if self.version is None else f"@{self.version}")

    @property
    def exact(self) -> bool:
        """Whether it means the same for ever."""
        return self.id is not None or self.version is not None
