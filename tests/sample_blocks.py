"""Samples of alpha or of pictures without a model, and blocks of them as files have them."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image

from vrcodec.lossless.packing import Samples


def samples(seed: int, height: int, width: int, kind: str, channels: int) -> Samples:
    """Blocks of every kind that packs in its own way."""
    random = np.random.default_rng(seed)
    shape = (height, width) if channels == 1 else (height, width, channels)
    values = random.integers(0, 256, shape, dtype=np.uint8)
    if kind == "one":
        return np.full_like(values, values.flat[0])
    if kind == "two":
        return (values > 127) * np.uint8(255)
    if kind == "ramp":
        values[:] = np.arange(values[0].size, dtype=np.uint8).reshape(values[0].shape)
    return values


def as_png(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    return b"\1" + buffer.getvalue()


def png_of_parts(header: bytes, content: bytes) -> bytes:
    def part(kind: bytes, body: bytes) -> bytes:
        seal = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + seal

    parts = part(b"IHDR", header), part(b"IDAT", content), part(b"IEND", b"")
    return b"\1\x89PNG\r\n\x1a\n" + b"".join(parts)


GREY = Image.fromarray(samples(0, 8, 8, "noise", 1))
