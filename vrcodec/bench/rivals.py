"""The codecs to compare with, through Pillow."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from vrcodec.bench.metrics import Pixels


@dataclass(frozen=True)
class Rival:
    """A Pillow format with its settings, over a range of qualities."""

    name: str
    format: str
    settings: Mapping[str, Any]
    qualities: tuple[int, ...]

    def round_trip(self, pixels: Pixels, quality: int) -> tuple[int, Pixels]:
        """Encode and decode (H, W, 3) uint8: size of the file in bytes, decoded pixels."""
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, self.format, quality=quality, **self.settings)
        with Image.open(buffer) as image:
            decoded = np.asarray(image.convert("RGB"))
        return len(buffer.getvalue()), decoded


RIVALS = (
    Rival(
        "jpeg",
        "JPEG",
        {"subsampling": "4:2:0", "optimize": True},
        (5, 10, 20, 30, 40, 50, 60, 70, 80, 85, 90, 93, 95, 97),
    ),
    Rival("webp", "WEBP", {"method": 6}, (1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 85, 90, 95, 100)),
)
