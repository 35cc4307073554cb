"""The levels of files of the hierarchical family."""

from __future__ import annotations

import numpy as np

import vrcodec
from vrcodec.bitstream.container import parse_container

LEVELS = 9


def level_ends(data: bytes) -> list[int]:
    """At which byte of a file each level is complete."""
    offset = parse_container(data).latent_chunks()[0].offset
    ends = offset + np.cumsum(vrcodec.inspect(data).levels)
    found: list[int] = ends.tolist()
    return found
