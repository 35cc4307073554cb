"""How much the tests try: a sample by default, everything under `make test-thorough` (docs/TESTS.md)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
import skimage.data
from hypothesis import settings

from vrcodec.picture.folders import read_folder
from vrcodec.picture.picture import Picture

THOROUGH = os.environ.get("VRCODEC_THOROUGH", "0") not in ("", "0")

Extent = TypeVar("Extent")

# For what takes minutes and is checked on less by another test of the default run.
thorough_only = pytest.mark.skipif(not THOROUGH, reason="only under make test-thorough")

_SHARE = 5
_FEWEST_EXAMPLES = 5


def examples(count: int) -> settings:
    """Settings of a hypothesis test: ``count`` examples in the thorough run, a fifth of them by default."""
    return settings(max_examples=count if THOROUGH else max(_FEWEST_EXAMPLES, count // _SHARE))


def extent(sample: Extent, everything: Extent) -> Extent:
    """``sample`` by default, ``everything`` in the thorough run."""
    return everything if THOROUGH else sample


def kodak() -> dict[str, Picture]:
    """The 24 Kodak pictures in the thorough run, when VRCODEC_KODAK names their folder; else none."""
    folder = os.environ.get("VRCODEC_KODAK", "")
    return read_folder(Path(folder)) if THOROUGH and folder and Path(folder).is_dir() else {}


def photographs() -> dict[str, Picture]:
    """`kodak`, or where there are none four parts of photographs of scikit-image.

    In landscape and portrait format; the first one is small, the last one has two blocks of latents.
    """
    return kodak() or {
        "eye": Picture.from_array(skimage.data.chelsea()[80:176, 130:258]),
        "astronaut": Picture.from_array(skimage.data.astronaut()[:256, 64:448]),
        "chelsea": Picture.from_array(skimage.data.chelsea()[:290, 100:300]),
        "coffee": Picture.from_array(np.tile(skimage.data.coffee()[200:300, :560], (1, 2, 1))),
    }
