"""A picture of two rows of two blocks, its files by every family and of every kind, and what they decode to."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
from hypothesis import strategies as st

from tests.conftest import Pixels, random_map
from vrcodec.bitstream.rate_setting import RateSetting
from vrcodec.codec import Decoder, Encoder
from vrcodec.engine import Engine
from vrcodec.picture.graphics import CELL
from vrcodec.picture.picture import Picture
from vrcodec.regions.tiling import Tiling

FAMILIES = ("gained", "qvrf", "qmap", "slim", "qarv")
KINDS = (*FAMILIES, "map", "alpha", "lossless", "cells")
# Two rows of two blocks; the last ones are a few samples wide.
WIDTH, HEIGHT = 1100, 1061
SIDES = st.sampled_from([None, 1, 3, 7, 16, 40])
FLOAT32 = Engine("cpu", "float32")


@cache
def pixels() -> Pixels:
    """Smooth, with some noise: seams would show."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    waves = np.stack([np.sin(x / 40), np.sin(y / 31), np.sin((x + y) / 57)], axis=2)
    noise = np.random.default_rng(0).normal(0, 6, (HEIGHT, WIDTH, 3))
    return (127 + 100 * waves + noise).clip(0, 255).astype(np.uint8)


def picture_of(kind: str) -> Picture:
    if kind == "alpha":
        return Picture(pixels(), "RGB", np.ascontiguousarray(pixels()[..., 1] | 1))
    if kind == "cells":
        cells = np.random.default_rng(1).random((-(-HEIGHT // CELL), -(-WIDTH // CELL))) < 0.3
        # The last block has none.
        cells[1024 // CELL :, 1024 // CELL :] = False
        return replace(Picture.from_array(pixels()), lossless_cells=cells)
    return Picture.from_array(pixels())


def encoded(kind: str, tiling: Tiling) -> bytes:
    """The file of `pixels`, by a family or of a kind."""
    engine = Engine("cpu", "float32", tiling)
    picture = picture_of(kind)
    if kind == "lossless":
        return Encoder("slim", engine).encode_lossless(picture)
    setting = RateSetting(30_000, qmap=random_map(picture) if kind == "map" else None)
    family = {"map": "qmap", "alpha": "slim", "cells": "slim"}.get(kind, kind)
    return Encoder(family, engine).encode(picture, setting)


@cache
def data(kind: str) -> bytes:
    return encoded(kind, Tiling())


@cache
def decoder() -> Decoder:
    return Decoder(FLOAT32)


@cache
def whole(kind: str) -> Picture:
    return decoder().decode(data(kind))
