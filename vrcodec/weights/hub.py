"""Hubs: folders, on a web server or elsewhere, with an index and the files that it names."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property

from vrcodec.catalog import (
    INDEX_NAME,
    Index,
    Release,
    Wanted,
    parse_index,
    shipped_index,
)
from vrcodec.errors import WeightsError
from vrcodec.weights.places import is_remote, join, read_from

HUB_VARIABLE = "VRCODEC_HUB"
# Where the project publishes its weights.
DEFAULT_HUB = "https://github.com/vrcodec/vrcodec/releases/download/weights"

_INDEX_BYTES_MAX = 1 << 22


def hub_address() -> str:
    """The folder or URL that ``VRCODEC_HUB`` names, or else that of the project."""
    return os.environ.get(HUB_VARIABLE, "") or DEFAULT_HUB


@dataclass(frozen=True)
class Hub:
    """A hub at ``address``: a URL, or the path of a folder."""

    address: str

    @cached_property
    def index(self) -> Index:
        """Its index; of ids that came with this program, what that says. Raises WeightsError."""
        place = join(self.address, INDEX_NAME)
        data = bytearray()
        for _, piece in read_from(place):
            data += piece
            if len(data) > _INDEX_BYTES_MAX:
                raise WeightsError(f"{place}: too large for an index of weights")
        known = {release.id for release in shipped_index()}
        others = tuple(r for r in parse_index(bytes(data), place) if r.id not in known)
        return shipped_index() + others

    def find(self, wanted: Wanted) -> Release:
        """What is ``wanted``; the hub is asked for what this version does not know. Raises WeightsError."""
        release = wanted.find(shipped_index()) if wanted.exact else None
        release = release or wanted.find(self.index)
        if release is None:
            raise WeightsError(f"{wanted}: no such weights at {self.address}")
        return release

    def places(self, release: Release, part: str) -> list[str]:
        """Where to fetch a file of ``release``, in the order in which to try."""
        file = release.files[part]
        return [join(self.address, file.name), *filter(is_remote, file.urls)]
