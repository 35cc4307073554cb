"""Decoded pictures to compare by eye: the original, ours, and the rivals' at the file size of ours."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace

from PIL import Image

from vrcodec.bench.codecs import Codec, Coder, Family
from vrcodec.metrics import Pixels, capped_psnr
from vrcodec.picture.picture import Picture

# A report is one file: larger pictures are cropped to their middle.
MAX_SIDE = 1024
# Of ours: a small file and a medium one.
RATES = (0.2, 0.5)
# Variants of a format that look alike are not shown.
_NOT_SHOWN = ("jpeg444", "mozjpeg", "avif420", "avif-psnr", "avif-ssimulacra2")
_BISECTIONS = 8


@dataclass(frozen=True)
class View:
    """One decoded picture. ``uri``: its pixels, lossless."""

    title: str
    bpp: float
    psnr: float
    uri: str


@dataclass(frozen=True)
class Showcase:
    """A picture. ``levels``: for each of `RATES`, our view first, then the others at that file size."""

    name: str
    width: int
    height: int
    original: str
    levels: list[list[View]]


def make_showcase(name: str, picture: Picture, codecs: Sequence[Codec]) -> Showcase:
    """Encode ``picture`` by the first of ``codecs``, a family, at a few rates; by the others at those sizes.

    Of several efforts only the first is shown: matching a size takes many files.
    """
    efforts = (None, codecs[0].effort)
    shown = [
        _with_full_range(codec)
        for codec in codecs
        if codec.effort in efforts and not codec.name.startswith(_NOT_SHOWN)
    ]
    coders = [codec.coder() for codec in shown]
    levels = []
    for rate in RATES:
        files = [coders[0].encode(picture, rate)]
        files += [
            encode_to_size(codec, coder, picture, len(files[0]))
            for codec, coder in zip(shown[1:], coders[1:], strict=True)
        ]
        levels.append(
            [
                _make_view(*codec_file, picture)
                for codec_file in zip(shown, coders, files, strict=True)
            ]
        )
    width, height = _crop_middle(picture.pixels).shape[1::-1]
    return Showcase(name, int(width), int(height), _webp_uri(picture.pixels), levels)


def encode_to_size(codec: Codec, coder: Coder, picture: Picture, size: int) -> bytes:
    """The file of ``codec``, between its first and last point, whose size comes closest to ``size``."""
    low, high = codec.points[0], codec.points[-1]
    best = coder.encode(picture, low)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        data = coder.encode(picture, middle)
        if abs(len(data) - size) < abs(len(best) - size):
            best = data
        low, high = (middle, high) if len(data) < size else (low, middle)
    return best


def _with_full_range(codec: Codec) -> Codec:
    """Our families from rate 0 to 1, whatever points they were measured at."""
    return replace(codec, points=(0.0, 1.0), unit="rate") if isinstance(codec, Family) else codec


def _make_view(codec: Codec, coder: Coder, data: bytes, picture: Picture) -> View:
    decoded = coder.decode(data)
    bpp = 8 * len(data) / (picture.width * picture.height)
    shown = decoded.to_rgb()
    return View(codec.title, bpp, capped_psnr(picture.pixels, shown), _webp_uri(shown))


def _crop_middle(pixels: Pixels) -> Pixels:
    height, width = pixels.shape[:2]
    top, left = max(0, height - MAX_SIDE) // 2, max(0, width - MAX_SIDE) // 2
    return pixels[top : top + MAX_SIDE, left : left + MAX_SIDE]


def _webp_uri(pixels: Pixels) -> str:
    buffer = io.BytesIO()
    Image.fromarray(_crop_middle(pixels)).save(buffer, "WEBP", lossless=True)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
