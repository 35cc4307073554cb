"""A hex dump of a .vrc file with what each byte is for, as docs/FORMAT.md shows them.

python -m conformance.dump FILE
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from conformance.reference.container import Cursor, File, parse
from conformance.reference.entropy import TOTAL, Stream, read_ties
from conformance.reference.networks import find_weights

_METHODS = ("without a model", "gained", "qvrf", "qmap", "slim", "qarv", "hyperprior")
_MODES = ("grey", "RGB", "bilevel")
_CODINGS = ("one value for each channel", "PNG", "WebP")
_CHUNKS = {
    0x01: "latent stream",
    0x02: "bin size",
    0x03: "quality map",
    0x04: "width",
    0x05: "progressive streams",
    0x06: "alpha",
    0x07: "samples without loss",
    0x08: "lossless cells",
    0x09: "quality map of small cells",
    0x80: "ICC profile",
    0x81: "EXIF data",
    0x82: "XMP packet",
    0x83: "binding",
}
# End of a field, and what it says.
Fields = Iterator[tuple[int, str]]


def dump(data: bytes) -> str:
    """Lines of offset, bytes, meaning. Raises RefusedError for a file that cannot be parsed."""
    lines, position = [], 0
    for end, meaning in _fields(data):
        for start in range(position, end, 16):
            text = data[start : min(start + 16, end)].hex(" ")
            lines.append(
                f"{start:04x}  {text:<47}  {meaning if start == position else ''}".rstrip()
            )
        position = end
    return "\n".join(lines)


def _fields(data: bytes) -> Fields:
    file, cursor = parse(data, partial=False), Cursor(data)
    cursor.take(6)
    yield cursor.position, "magic"
    for name in ("major", "minor"):
        number = cursor.number(1)
        yield cursor.position, f"{name} version {number}"
    end = cursor.number(1)
    yield cursor.position, f"length of the header body: {end}"
    end += cursor.position
    cursor.take(1)
    yield cursor.position, f"method {file.method}: {_METHODS[file.method]}"
    cursor.take(8)
    yield cursor.position, "weights id"
    for name in ("width", "height"):
        number = cursor.varint()
        yield cursor.position, f"{name} {number}"
    cursor.take(1)
    yield cursor.position, f"mode {file.mode}: {_MODES[file.mode]}"
    cursor.take(2)
    yield cursor.position, f"rate code {file.rate}"
    if cursor.position < end:
        yield end, "fields of a later version"
    cursor = Cursor(data, end + 4)
    yield cursor.position, "CRC-32 of everything above"
    while cursor.left:
        yield from _chunk(file, cursor)


def _chunk(file: File, cursor: Cursor) -> Fields:
    chunk_type = cursor.number(1)
    yield cursor.position, f"chunk type {chunk_type:02x}: {_CHUNKS.get(chunk_type, 'unknown')}"
    length = cursor.varint()
    yield cursor.position, f"length of the payload: {length}"
    end = cursor.position + length
    payload = Cursor(cursor.data[:end], cursor.position)
    if length:
        yield from _PAYLOADS.get(chunk_type, _unknown)(file, payload)
    cursor.position = end + 4
    yield cursor.position, "CRC-32 of the chunk: type, length, payload"


def _rest(cursor: Cursor, meaning: str) -> Fields:
    if cursor.left:
        cursor.take(cursor.left)
        yield cursor.position, meaning


def _unknown(file: File, cursor: Cursor) -> Fields:
    yield from _rest(cursor, "payload")


def _stream(file: File, cursor: Cursor) -> Fields:
    cursor.take(4)
    yield cursor.position, "CRC-32 of the decoded symbols"
    yield from _ties(cursor)
    yield from _rest(cursor, "rANS words")


def _ties(cursor: Cursor) -> Fields:
    count = len(read_ties(cursor))
    yield cursor.position, "number of ties: 0" if not count else f"{count} ties"


def _bin_size(file: File, cursor: Cursor) -> Fields:
    code = int.from_bytes(cursor.take(2), "little", signed=True)
    yield cursor.position, f"code {code}: a step of {2 ** (code / 2048):.3f}"


def _fine_map(file: File, cursor: Cursor) -> Fields:
    divisor = cursor.number(1)
    yield cursor.position, f"what the cells are multiples of: {divisor}"
    yield from _map(file, cursor)


def _map(file: File, cursor: Cursor) -> Fields:
    yield from _rest(cursor, "differences of the cells, deflated")


def _width(file: File, cursor: Cursor) -> Fields:
    width = cursor.number(2)
    yield cursor.position, f"width {width}"


def _progressive(file: File, cursor: Cursor) -> Fields:
    blocks = len(file.windows())
    levels = cursor.number(1)
    yield cursor.position, f"{levels} levels"
    for _ in range(blocks):
        yield from _ties(cursor)
    for level in range(levels):
        lengths = []
        for block in range(blocks):
            lengths.append(cursor.varint())
            yield cursor.position, f"level {level}, block {block}: {lengths[-1]} bytes"
            cursor.take(2 if level < levels - 1 else 4)
            yield cursor.position, "check of the symbols so far"
        for block, length in enumerate(lengths):
            cursor.take(length)
            if length:
                yield cursor.position, f"level {level}, block {block}: data"


def _samples(file: File, cursor: Cursor) -> Fields:
    coding = cursor.number(1)
    yield cursor.position, f"coding {coding}: {_CODINGS[coding]}"
    yield from _rest(cursor, "samples")


def _cells(file: File, cursor: Cursor) -> Fields:
    length = cursor.number(2)
    yield cursor.position, f"length of the mask: {length}"
    cursor.take(length)
    yield cursor.position, "mask, deflated"
    yield from _samples(file, cursor)


def _metadata(file: File, cursor: Cursor) -> Fields:
    packing = cursor.number(1)
    yield cursor.position, f"packing {packing}: {'raw deflate' if packing else 'as it is'}"
    yield from _rest(cursor, "content")


def _binding(file: File, cursor: Cursor) -> Fields:
    yield from _rest(cursor, "CRC-32 of the other checksums")


class _RecordingStream(Stream):
    """A stream that remembers its steps: state, start and frequency of each, and how many words are left."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data, {})
        self.steps: list[tuple[int, int, int, int]] = []

    def _advance(self, start: int, frequency: int) -> None:
        state = self.state
        super()._advance(start, frequency)
        self.steps.append((state, start, frequency, len(self.words)))


def rans_steps(data: bytes) -> str:
    """How z comes out of the coder, step by step, for a file with one sample of z in each channel."""
    file = parse(data, partial=False)
    tables = find_weights(file.weights_id).tables("prior")
    payload = Cursor(file.chunks[1][0], 4)
    read_ties(payload)
    stream = _RecordingStream(payload.take(payload.left))
    symbols = stream.read(np.arange(len(tables)), tables).tolist()
    lines = ["            state             q       start   frequency  words left  value"]
    for number, (state, start, frequency, words) in enumerate(stream.steps):
        q = state % TOTAL
        if number < len(tables):
            escaped = abs(symbols[number]) > tables.halves[number]
            name, value = f"table {number}", "escape" if escaped else str(symbols[number])
        else:
            name, value = f"{TOTAL.bit_length() - frequency.bit_length()} bits", str(q // frequency)
        lines.append(
            f"{name:<10}  {state:016x}  {q:06x}  {start:06x}  {frequency:06x}     {words:<10}  {value}"
        )
    return "\n".join([*lines, f"symbols: {', '.join(map(str, symbols))}"])


_PAYLOADS: dict[int, Callable[[File, Cursor], Fields]] = {
    0x01: _stream,
    0x02: _bin_size,
    0x03: _map,
    0x04: _width,
    0x05: _progressive,
    0x06: _samples,
    0x07: _samples,
    0x08: _cells,
    0x09: _fine_map,
    0x80: _metadata,
    0x81: _metadata,
    0x82: _metadata,
    0x83: _binding,
}


if __name__ == "__main__":
    print(dump(Path(sys.argv[1]).read_bytes()))
