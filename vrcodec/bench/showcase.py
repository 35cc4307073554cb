"""Pictures to look at: the original, ours and the rivals' at the size of ours."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace

from PIL import Image

from vrcodec.bench.codecs import Codec, Coder, Family
from vrcodec.metrics import Pixels, capped_psnr
from vrcodec.picture.picture import Picture

# A report is one file: of larger pictures it holds the middle.
MAX_SIDE = 1024
# Of ours: a small file and a middling one.
RATES = (0.2, 0.5)
# Kinds of a format that look alike need not be shown beside it.
_NOT_SHOWN = ("jpeg444", "mozjpeg", "avif-psnr")
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
    """A picture. ``levels``: for each of a few sizes, our view first, then the others at that size."""

    name: str
    width: int
    height: int
    original: str
    levels: list[list[View]]


def showcase(name: str, picture: Picture, codecs: Sequence[Codec]) -> Showcase:
    """Encode ``picture`` by the first of ``codecs``, a family, at a few rates; by the others to match.

    Of several efforts, at the first: to match a size takes many files.
    """
    efforts = (None, codecs[0].effort)
    shown = [
        _by_rate(codec)
        for codec in codecs
        if codec.effort in efforts and not codec.name.startswith(_NOT_SHOWN)
    ]
    coders = [codec.coder() for codec in shown]
    levels = []
    for rate in RATES:
        files = [coders[0].encode(picture, rate)]
        files += [
            matched(codec, coder, picture, len(files[0]))
            for codec, coder in zip(shown[1:], coders[1:], strict=True)
        ]
        levels.append([_view(*each, picture) for each in zip(shown, coders, files, strict=True)])
    width, height = _crop(picture.pixels).shape[1::-1]
    return Showcase(name, int(width), int(height), _uri(picture.pixels), levels)


def matched(codec: Codec, coder: Coder, picture: Picture, size: int) -> bytes:
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


def _by_rate(codec: Codec) -> Codec:
    """Our families over their whole range, whatever points they were measured at."""
    return replace(codec, points=(0.0, 1.0), by="rate") if isinstance(codec, Family) else codec


def _view(codec: Codec, coder: Coder, data: bytes, picture: Picture) -> View:
    decoded = coder.decode(data)
    bpp = 8 * len(data) / (picture.width * picture.height)
    seen = decoded.displayed()
    return View(codec.title, bpp, capped_psnr(picture.pixels, seen), _uri(seen))


def _crop(pixels: Pixels) -> Pixels:
    height, width = pixels.shape[:2]
    top, left = max(0, height - MAX_SIDE) // 2, max(0, width - MAX_SIDE) // 2
    return pixels[top : top + MAX_SIDE, left : left + MAX_SIDE]


def _uri(pixels: Pixels) -> str:
    buffer = io.BytesIO()
    Image.fromarray(_crop(pixels)).save(buffer, "WEBP", lossless=True)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
