"""Lossless coding of some cells of a picture, 16 x 16 pixels each: text and line art in what a model codes.

For each block of the latent grid there is a payload, empty for one without such cells: two bytes with the
length of a mask, the mask (a bit for each cell, raw deflated), and the samples of the block as
`vrcodec.lossless.packing` stores them, 0 outside of the cells.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from vrcodec.errors import CorruptError
from vrcodec.lossless.blocks import Box, block_boxes, overlapping_blocks, slice_from
from vrcodec.lossless.packing import Samples, check, pack, unpack
from vrcodec.picture.graphics import CELL, Cells, stretch_cells

_LENGTH_BYTES = 2
# `wbits` of raw deflate, without a checksum: the chunk has one.
_RAW_DEFLATE = -15
# Blocks that are kept unpacked: tiles of the synthesis come back to them.
_BLOCKS_HELD = 8


def pack_cells(samples: Samples, cells: Cells) -> list[bytes]:
    """A payload for each block of ``samples``, uint8 (H, W) or (H, W, 3), with those of ``cells`` alone."""
    height, width = samples.shape[:2]
    payloads = []
    for left, top, right, bottom in block_boxes(width, height):
        block = cells[top // CELL : -(-bottom // CELL), left // CELL : -(-right // CELL)]
        part = samples[top:bottom, left:right].copy()
        part[~stretch_cells(block, *part.shape[:2])] = 0
        payloads.append(_pack_block(part, block) if block.any() else b"")
    return payloads


def _pack_block(samples: Samples, cells: Cells) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, _RAW_DEFLATE, 9)
    mask = packer.compress(np.packbits(cells).tobytes()) + packer.flush()
    return len(mask).to_bytes(_LENGTH_BYTES, "little") + mask + pack(samples)


def check_cells(payloads: Sequence[bytes], width: int, height: int, channels: int) -> None:
    """Raise CorruptError unless all payloads are of the right structure, without decoding samples."""
    for payload, box in zip(payloads, block_boxes(width, height), strict=True):
        if payload:
            left, top, right, bottom = box
            check(_split(payload, box)[1], right - left, bottom - top, channels)


def _split(payload: bytes, box: Box) -> tuple[Cells, bytes]:
    """The cells (rows, columns) of the block at ``box``, and the payload of its samples."""
    left, top, right, bottom = box
    rows, columns = -(-(bottom - top) // CELL), -(-(right - left) // CELL)
    end = _LENGTH_BYTES + int.from_bytes(payload[:_LENGTH_BYTES], "little")
    mask, length = payload[_LENGTH_BYTES:end], -(-rows * columns // 8)
    inflater = zlib.decompressobj(_RAW_DEFLATE)
    try:
        bits = inflater.decompress(mask, length + 1)
    except zlib.error:
        bits = b""
    if len(bits) != length or not inflater.eof or inflater.unused_data:
        raise CorruptError("damaged: which cells are stored without loss cannot be unpacked")
    cells = np.unpackbits(np.frombuffer(bits, np.uint8), count=rows * columns)
    return cells.reshape(rows, columns).view(np.bool_), payload[end:]


class LosslessCells:
    """The cells of a picture of ``width`` x ``height``, to be put over what a model has decoded.

    ``payloads``: one for each block. Only those are read that `overlay` comes to.
    """

    def __init__(self, payloads: Sequence[bytes], width: int, height: int, channels: int) -> None:
        self._payloads, self._channels = payloads, channels
        self._width, self._height = width, height
        self._boxes = list(block_boxes(width, height))
        self._held: dict[int, tuple[Cells, Samples] | None] = {}

    def overlay(self, tile: Samples, top: int, left: int) -> None:
        """Replace pixels of ``tile`` (H, W, 3), whose first is in this row and column. Raises CorruptError."""
        bottom = min(top + tile.shape[0], self._height)
        right = min(left + tile.shape[1], self._width)
        for number, rows, columns in overlapping_blocks(
            (left, top, right, bottom), self._width, self._height
        ):
            block = self._unpack(number)
            if block is None:
                continue
            x, y = self._boxes[number][:2]
            stored, samples = (part[slice_from(y, rows), slice_from(x, columns)] for part in block)
            tile[slice_from(top, rows), slice_from(left, columns)][stored] = samples[stored]

    def _unpack(self, number: int) -> tuple[Cells, Samples] | None:
        if number not in self._held:
            if len(self._held) == _BLOCKS_HELD:
                self._held.pop(next(iter(self._held)))
            self._held[number] = self._unpack_block(number)
        return self._held[number]

    def _unpack_block(self, number: int) -> tuple[Cells, Samples] | None:
        """For each pixel whether it is stored, and the samples (H, W, C) of a block; None without any."""
        payload = self._payloads[number]
        if not payload:
            return None
        left, top, right, bottom = box = self._boxes[number]
        height, width = bottom - top, right - left
        cells, packed = _split(payload, box)
        samples = unpack(packed, width, height, self._channels)
        return stretch_cells(cells, height, width), samples.reshape(height, width, -1)
