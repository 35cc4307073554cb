"""Samples of a whole picture, packed without loss block by block: the blocks of its latent grid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from vrcodec.errors import CorruptError
from vrcodec.lossless.packing import Samples, check, pack, unpack
from vrcodec.regions.canvas import Canvas
from vrcodec.regions.grid import BLOCK, STRIDE
from vrcodec.regions.region import View

BLOCK_PIXELS = BLOCK * STRIDE

# left, top, right, bottom, in pixels.
Window = tuple[int, int, int, int]


def pack_blocks(samples: Samples) -> list[bytes]:
    """A payload for each block of ``samples``, uint8 (H, W) or (H, W, 3), row by row."""
    height, width = samples.shape[:2]
    windows = _windows(width, height)
    return [pack(np.ascontiguousarray(samples[y:b, x:r])) for x, y, r, b in windows]


def unpack_blocks(
    payloads: Sequence[bytes],
    width: int,
    height: int,
    channels: int,
    window: Window | None = None,
) -> Samples:
    """The samples in ``window`` of a picture of ``width`` x ``height``, by default in all of it.

    uint8 (h, w), or (h, w, 3) for 3 ``channels``. Only blocks that touch the window are looked at. Raises
    CorruptError.
    """
    left, top, right, bottom = window or (0, 0, width, height)
    shape = (bottom - top, right - left)
    samples = np.empty(shape if channels == 1 else (*shape, channels), np.uint8)
    for number, (x, y, x_end, y_end) in enumerate(_windows(width, height)):
        # What the block and the window have in common, in pixels of the picture.
        columns = range(max(x, left), min(x_end, right))
        rows = range(max(y, top), min(y_end, bottom))
        if columns and rows:
            block = unpack(payloads[number], x_end - x, y_end - y, channels)
            samples[_span(rows, top), _span(columns, left)] = block[
                _span(rows, y), _span(columns, x)
            ]
    return samples


def viewed_blocks(
    payloads: Sequence[bytes], width: int, height: int, channels: int, view: View
) -> Samples:
    """What ``view`` shows of a picture of ``width`` x ``height``: (h, w), or (h, w, 3) for 3 channels.

    A row of blocks at a time, so that a preview takes little memory. Raises CorruptError, and UsageError for a
    view beyond the picture.
    """
    shown = view.rectangle(width, height)
    if view.scale == 1:
        window = (shown.left, shown.top, shown.right, shown.bottom)
        return unpack_blocks(payloads, width, height, channels, window)
    canvas = Canvas(shown, view.scale, channels)
    for start in range(shown.top // BLOCK_PIXELS * BLOCK_PIXELS, shown.bottom, BLOCK_PIXELS):
        top, bottom = max(start, shown.top), min(start + BLOCK_PIXELS, shown.bottom)
        rows = unpack_blocks(
            payloads, width, height, channels, (shown.left, top, shown.right, bottom)
        )
        canvas.put(rows.reshape(*rows.shape[:2], channels), top, shown.left)
    pixels = canvas.finish()
    return pixels[..., 0] if channels == 1 else pixels


def _span(places: range, origin: int) -> slice:
    return slice(places.start - origin, places.stop - origin)


def check_blocks(payloads: Sequence[bytes], width: int, height: int, channels: int) -> None:
    """Raise CorruptError unless the structure of all blocks is right, without decoding them."""
    if len(payloads) != len(list(_windows(width, height))):
        raise CorruptError("damaged: a block of samples is missing")
    for payload, (x, y, x_end, y_end) in zip(payloads, _windows(width, height), strict=True):
        check(payload, x_end - x, y_end - y, channels)


def _windows(width: int, height: int) -> Iterator[Window]:
    for top in range(0, height, BLOCK_PIXELS):
        for left in range(0, width, BLOCK_PIXELS):
            yield left, top, min(left + BLOCK_PIXELS, width), min(top + BLOCK_PIXELS, height)
