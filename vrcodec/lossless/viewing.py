"""What a view shows of samples that are stored without loss, block by block."""

from __future__ import annotations

from collections.abc import Sequence

from vrcodec.lossless.blocks import BLOCK_PIXELS, unpack_blocks
from vrcodec.lossless.packing import Samples
from vrcodec.regions.canvas import Canvas
from vrcodec.regions.region import View


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
