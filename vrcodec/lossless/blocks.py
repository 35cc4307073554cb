"""Lossless coding of the samples of a whole picture, block by block: the blocks of its latent grid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from vrcodec.errors import CorruptError
from vrcodec.lossless.packing import Samples, check, pack, unpack
from vrcodec.regions.canvas import Canvas
from vrcodec.regions.grid import BLOCK, STRIDE
from vrcodec.regions.region import Region

BLOCK_PIXELS = BLOCK * STRIDE

# left, top, right, bottom, in pixels.
Box = tuple[int, int, int, int]


def pack_blocks(samples: Samples) -> list[bytes]:
    """A payload for each block of ``samples``, uint8 (H, W) or (H, W, 3), row by row."""
    height, width = samples.shape[:2]
    return [
        pack(np.ascontiguousarray(samples[top:bottom, left:right]))
        for left, top, right, bottom in block_boxes(width, height)
    ]


def unpack_blocks(
    payloads: Sequence[bytes],
    width: int,
    height: int,
    channels: int,
    box: Box | None = None,
) -> Samples:
    """The samples in ``box`` of a picture of ``width`` x ``height``, by default in all of it.

    uint8 (h, w), or (h, w, 3) for 3 ``channels``. Only payloads of blocks that overlap the box are read. Raises
    CorruptError.
    """
    left, top, right, bottom = box or (0, 0, width, height)
    shape = (bottom - top, right - left)
    samples = np.empty(shape if channels == 1 else (*shape, channels), np.uint8)
    boxes = list(block_boxes(width, height))
    for number, rows, columns in overlapping_blocks((left, top, right, bottom), width, height):
        x, y, x_end, y_end = boxes[number]
        block = unpack(payloads[number], x_end - x, y_end - y, channels)
        samples[slice_from(top, rows), slice_from(left, columns)] = block[
            slice_from(y, rows), slice_from(x, columns)
        ]
    return samples


def unpack_region(
    payloads: Sequence[bytes], width: int, height: int, channels: int, region: Region
) -> Samples:
    """A ``region`` of a picture of ``width`` x ``height``: (h, w), or (h, w, 3) for 3 ``channels``.

    A row of blocks at a time, so that a preview takes little memory. Raises CorruptError, and UsageError for a
    region beyond the picture.
    """
    crop = region.rectangle(width, height)
    if region.scale == 1:
        box = (crop.left, crop.top, crop.right, crop.bottom)
        return unpack_blocks(payloads, width, height, channels, box)
    canvas = Canvas(crop, region.scale, channels)
    for start in range(crop.top // BLOCK_PIXELS * BLOCK_PIXELS, crop.bottom, BLOCK_PIXELS):
        top, bottom = max(start, crop.top), min(start + BLOCK_PIXELS, crop.bottom)
        rows = unpack_blocks(
            payloads, width, height, channels, (crop.left, top, crop.right, bottom)
        )
        canvas.put(rows.reshape(*rows.shape[:2], channels), top, crop.left)
    pixels = canvas.finish()
    return pixels[..., 0] if channels == 1 else pixels


def overlapping_blocks(box: Box, width: int, height: int) -> Iterator[tuple[int, range, range]]:
    """Number of each block that overlaps ``box``, with the rows and columns of the picture that they share."""
    left, top, right, bottom = box
    for number, (x, y, x_end, y_end) in enumerate(block_boxes(width, height)):
        rows, columns = (
            range(max(y, top), min(y_end, bottom)),
            range(max(x, left), min(x_end, right)),
        )
        if rows and columns:
            yield number, rows, columns


def slice_from(origin: int, positions: range) -> slice:
    """``positions`` as indices of an array whose first element is at ``origin``."""
    return slice(positions.start - origin, positions.stop - origin)


def check_blocks(payloads: Sequence[bytes], width: int, height: int, channels: int) -> None:
    """Raise CorruptError unless all blocks are there and of the right structure, without decoding them."""
    boxes = list(block_boxes(width, height))
    if len(payloads) != len(boxes):
        raise CorruptError("damaged: a block of samples is missing")
    for payload, (left, top, right, bottom) in zip(payloads, boxes, strict=True):
        check(payload, right - left, bottom - top, channels)


def block_boxes(width: int, height: int) -> Iterator[Box]:
    """The boxes of all blocks, row by row."""
    for top in range(0, height, BLOCK_PIXELS):
        for left in range(0, width, BLOCK_PIXELS):
            yield left, top, min(left + BLOCK_PIXELS, width), min(top + BLOCK_PIXELS, height)
