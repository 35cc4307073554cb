"""Netpbm: streams of several pictures, and what lies behind the last one."""

from __future__ import annotations

import re
from typing import BinaryIO

import numpy as np
from PIL import Image

from vrcodec.picture.intake.containers.contents import (
    FileContents,
    Part,
    describe_rest,
    file_size,
    read_at,
    skip_padding,
)

_MAGIC_BYTES, _HEADER_BYTES = 2, 1 << 16
_MAGIC = re.compile(rb"P[1-6][\s#]")
# Numbers of a header, between white space and comments; one white space stands before the samples.
_FIELD = rb"(?:\s|#[^\r\n]*[\r\n])+(\d+)"
_SIZE, _SIZE_AND_MAXVAL = (re.compile(_FIELD * count + rb"\s") for count in (2, 3))
_COMMENT = re.compile(rb"#[^\r\n]*")
_BITMAP, _COLOUR, _PLAIN = b"14", b"36", b"123"
# With the space behind it: a first guess.
_BYTES_A_NUMBER = 4
_WHITE_SPACE = np.frombuffer(b" \t\n\v\f\r", np.uint8)


def read_netpbm(image: Image.Image, source: BinaryIO) -> FileContents:
    """The pictures in a netpbm file, one behind the other, and what lies behind them."""
    parts: list[Part] = []
    start = 0
    while _MAGIC.match(read_at(source, start, _MAGIC_BYTES + 1)):
        end = _end(source, start)
        parts.append((start, end))
        start = skip_padding(source, end)
    return FileContents(tuple(parts), left_out=describe_rest(source, parts[-1][1]) if parts else ())


def _end(source: BinaryIO, start: int) -> int:
    """The end of the picture that begins at ``start``; that of the file where it cannot be told."""
    head = read_at(source, start, _HEADER_BYTES)
    kind = head[1:2]
    match = (_SIZE if kind in _BITMAP else _SIZE_AND_MAXVAL).match(head, _MAGIC_BYTES)
    if match is None:
        return file_size(source)
    width, height, maxval = (*map(int, match.groups()), 1)[:3]
    samples = start + match.end()
    channels = 3 if kind in _COLOUR else 1
    if kind in _PLAIN:
        return _plain_end(source, samples, width * height * channels, kind in _BITMAP)
    row = (width + 7) // 8 if kind in _BITMAP else width * channels * (2 if maxval > 255 else 1)
    return min(samples + row * height, file_size(source))


def _plain_end(source: BinaryIO, start: int, count: int, bits: bool) -> int:
    """Where ``count`` numbers end, or so many digits of bits, which need no space between them."""
    size = _BYTES_A_NUMBER * count
    while True:
        text = read_at(source, start, size)
        whole = len(text) < size
        text = _COMMENT.sub(lambda comment: b" " * len(comment[0]), text)
        inside = ~np.isin(np.frombuffer(text, np.uint8), _WHITE_SPACE)
        # The last letter of each number, in front of white space or the end of the file.
        ends = inside if bits else inside & ~np.append(inside[1:], not whole)
        positions = np.flatnonzero(ends)
        if 0 < count <= len(positions):
            return start + int(positions[count - 1]) + 1
        if whole:
            return start + len(text)
        size *= 2
