"""How the golden files of `sides/` came to be. Running it again makes others, which is not wanted.

    python tests/golden/make_sides.py OUTPUT_FOLDER

They need the tiny weights of `gained` beside this script. What a decoder makes of them is frozen with them:
alpha, metadata and pictures without a model exactly, what a model codes within one step.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import skimage.data

from vrcodec.codec import Decoder, Encoder
from vrcodec.engine import Engine
from vrcodec.picture.graphics import CELL
from vrcodec.picture.metadata import Metadata
from vrcodec.picture.picture import Picture
from vrcodec.picture.writing import serialise_picture

ENGINE = Engine("cpu", "float32")
RATE_CODE = 30000
METADATA = Metadata(
    icc=bytes(range(256)) * 2,
    exif=b"II*\0\x08\0\0\0\0\0\0\0\0\0",
    xmp=b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>' + b" " * 100,
)


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["VRCODEC_WEIGHTS"] = str(Path(__file__).parent)
    encoder = Encoder("gained", ENGINE)
    for name, picture in pictures().items():
        exact = name.startswith("lossless")
        data = encoder.encode_lossless(picture) if exact else encoder.encode(picture, RATE_CODE)
        (folder / f"{name}.vrc").write_bytes(data)
        decoded = serialise_picture(Decoder(ENGINE).decode(data))
        (folder / f"{name}.png").write_bytes(decoded)


def pictures() -> dict[str, Picture]:
    """Name -> picture; those called lossless are stored without a model, and bilevel ones in any case."""
    photograph = skimage.data.astronaut()[40:104, 180:270].copy()
    height, width = photograph.shape[:2]
    y, x = np.mgrid[0:height, 0:width]
    alpha = np.clip(300 - 9 * np.hypot(x - 40, y - 30), 0, 255).astype(np.uint8)
    grey = photograph[:, :, 1]
    # Two blocks, the second of which has one value.
    wide = np.zeros((20, 1100), np.uint8)
    wide[:, :1024] = np.arange(1024) // 4
    # A page beside a photograph: bars of black on white, and what is stored of them without loss.
    with_text = photograph.copy()
    with_text[:, :48] = np.where((y + x // 3) % 5 < 2, 10, 255)[:, :48, None]
    cells = np.zeros((-(-height // CELL), -(-width // CELL)), np.bool_)
    cells[:, :3] = True
    cells[1, 4] = True
    # The first block has none.
    two_cells = np.zeros((2, 69), np.bool_)
    two_cells[1, 66:] = True
    return {
        "rgba": Picture.from_array(np.dstack([photograph, alpha])),
        "la": Picture.from_array(np.dstack([grey, alpha])),
        "bilevel": Picture.from_array(grey > 100),
        "metadata": Picture(photograph, metadata=METADATA),
        "two_blocks": Picture(np.repeat(wide[:, :, None], 3, axis=2), "L", wide[::-1].copy()),
        "cells": replace(Picture(with_text), lossless_cells=cells),
        "cells_grey": replace(
            Picture(np.repeat(wide[:, :, None], 3, axis=2), "L"), lossless_cells=two_cells
        ),
        "lossless_rgb": Picture(photograph[:32]),
        "lossless_grey": Picture(np.repeat(wide[:, :, None], 3, axis=2), "L"),
        "lossless_rgba": Picture(photograph[:32], "RGB", alpha[:32], METADATA),
    }


if __name__ == "__main__":
    main()
