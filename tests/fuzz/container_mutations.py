"""Mutations of the container: its header, the order and seals of chunks, and payloads as mere bytes."""

from __future__ import annotations

import random
from dataclasses import replace

from tests.fuzz.scratches import NUMBERS, scratched
from tests.fuzz.sketch import Part, Sketch, varint

_TYPES = [*range(10), *range(0x7E, 0x86), 0xFF]
_WEIGHTS_ID = slice(1, 9)


# --- header ---


def header_byte(sketch: Sketch, rng: random.Random) -> None:
    """Any byte of the header's body, or of the version."""
    if rng.random() < 0.1:
        sketch.head = sketch.head[:6] + bytes([rng.choice((0, 1, 2, 255)), rng.randrange(256)])
        return
    sketch.body = scratched(sketch.body, rng)[:255]


def header_size(sketch: Sketch, rng: random.Random) -> None:
    """Another width and height, often of as many blocks as before."""
    near = [rng.randrange(1, 1025) for _ in range(6)]
    sides = [rng.choice([*near, *NUMBERS]) for _ in range(2)]
    body = sketch.body
    place = 9
    for _ in range(2):
        while place < len(body) and body[place] > 0x7F:
            place += 1
        place += 1
    sketch.body = body[:9] + b"".join(map(varint, sides)) + body[place:]


def header_method(sketch: Sketch, rng: random.Random) -> None:
    """Another method, colour mode or rate, or no known weights."""
    kind = rng.randrange(4)
    body = bytearray(sketch.body)
    if kind == 0:
        body[:1] = bytes([rng.choice((0, 1, 2, 3, 4, 5, 6, 255))])
    elif kind == 1:
        body[_WEIGHTS_ID] = rng.choice((bytes(8), b"\xff" * 8, rng.randbytes(8)))
    elif kind == 2:
        body[-3:-2] = bytes([rng.choice((0, 1, 2, 3, 255))])
    else:
        body[-2:] = rng.choice((b"\0\0", b"\xff\xff", rng.randbytes(2)))
    sketch.body = bytes(body)


def header_length(sketch: Sketch, rng: random.Random) -> None:
    """Fields that a later version might add, or missing ones."""
    more = rng.randbytes(rng.randrange(1, 9))
    sketch.body = sketch.body + more if rng.random() < 0.5 else sketch.body[: rng.randrange(16)]


# --- chunks ---


def chunk_order(sketch: Sketch, rng: random.Random) -> None:
    """A chunk lost, doubled, moved, or two exchanged."""
    parts = sketch.parts
    if not parts:
        return
    first, second = (rng.randrange(len(parts)) for _ in range(2))
    kind = rng.randrange(4)
    if kind == 0:
        del parts[first]
    elif kind == 1:
        parts.insert(second, replace(parts[first]))
    elif kind == 2:
        parts.insert(second, parts.pop(first))
    else:
        parts[first], parts[second] = parts[second], parts[first]


def chunk_type(sketch: Sketch, rng: random.Random) -> None:
    """A chunk that says to be something else, or one that is new."""
    part = Part(rng.choice(_TYPES), rng.randbytes(rng.choice((0, 1, 2, 4, 9, 40))))
    if sketch.parts and rng.random() < 0.6:
        rng.choice(sketch.parts).type = part.type
    else:
        sketch.parts.insert(rng.randrange(len(sketch.parts) + 1), part)


def chunk_length(sketch: Sketch, rng: random.Random) -> None:
    """A length that is not that of the payload."""
    if sketch.parts:
        part = rng.choice(sketch.parts)
        near = len(part.payload) + rng.choice((-4, -1, 1, 4))
        part.claimed = max(0, rng.choice((near, rng.choice(NUMBERS))))


def seal(sketch: Sketch, rng: random.Random) -> None:
    """A checksum that does not fit, or bytes behind the end."""
    kind = rng.randrange(4)
    if kind == 0:
        sketch.sealed = False
    elif kind == 3:
        sketch.bound = False
    elif kind == 1 and sketch.parts:
        rng.choice(sketch.parts).sealed = False
    else:
        sketch.tail += rng.randbytes(rng.randrange(1, 20))


def payload(sketch: Sketch, rng: random.Random) -> None:
    """Bytes of a payload."""
    if sketch.parts:
        part = rng.choice(sketch.parts)
        part.payload = scratched(part.payload, rng)


def payload_front(sketch: Sketch, rng: random.Random) -> None:
    """The first bytes of a payload: numbers of ties, levels, lengths."""
    if sketch.parts:
        part = rng.choice(sketch.parts)
        size = rng.choice((1, 4, 5, 8))
        part.payload = scratched(part.payload[:size], rng) + part.payload[size:]


def payload_filled(sketch: Sketch, rng: random.Random) -> None:
    """A payload of one byte again and again, or of none at all."""
    if sketch.parts:
        part = rng.choice(sketch.parts)
        size = rng.choice((0, 1, 5, len(part.payload), 2 * len(part.payload)))
        part.payload = bytes([rng.choice((0, 1, 0x7F, 0x80, 0xFF))]) * size
