"""Structure-aware mutations: one part of a file is made wrong, and the checksums around it are made right."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace

from tests.fuzz.sketch import Part, Sketch, take_apart, varint
from vrcodec.bitstream import schema
from vrcodec.bitstream.latent_stream import Stream, Tie, build_stream, parse_stream
from vrcodec.bitstream.progressive import build_progressive, parse_progressive
from vrcodec.errors import VrcError

Mutation = Callable[[Sketch, random.Random], None]

# Where programs go wrong: around powers of two, and at the ends.
_NUMBERS = sorted(
    {0, 1, 2, 3, 127, 128, 255, 256, 65535, 65536}
    | {2**k + d for k in (10, 14, 16, 21, 24, 28, 31, 32, 35, 63, 64) for d in (-1, 0, 1)}
)
_TYPES = [*range(10), *range(0x7E, 0x86), 0xFF]
# Of a map, before it is made a thousand times too large.
_MOST_VALUES = 1 << 12
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_WEIGHTS_ID = slice(1, 9)


def mutate(data: bytes, rng: random.Random, others: Sequence[bytes] = ()) -> bytes:
    """``data`` with one to three things wrong. ``others``: files whose parts may be mixed in."""
    sketch = take_apart(data)
    if sketch is None:
        return _scratched(data, rng)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        if others and rng.random() < 0.05:
            _graft(sketch, rng, rng.choice(others))
        else:
            rng.choice(MUTATIONS)(sketch, rng)
    mutant = sketch.build()
    # Damage that the checksums of the container must find.
    return _scratched(mutant, rng) if rng.random() < 0.03 else mutant


def _scratched(data: bytes, rng: random.Random) -> bytes:
    """Bytes changed, put in or taken out anywhere."""
    changed = bytearray(data or b"\0")
    for _ in range(rng.choice((1, 1, 2, 4))):
        place = rng.randrange(len(changed) + 1)
        kind = rng.randrange(6)
        if kind == 0:
            changed[place:place] = rng.randbytes(rng.choice((1, 2, 4, 16)))
        elif kind == 1:
            del changed[place : place + rng.choice((1, 2, 4, 16))]
        elif kind == 2:
            del changed[place:]
        elif kind == 3:
            changed[place : place + 4] = varint(rng.choice(_NUMBERS))
        elif place < len(changed):
            changed[place] = (
                changed[place] ^ 1 << rng.randrange(8) if kind == 4 else rng.randrange(256)
            )
    return bytes(changed)


# --- header ---


def header_byte(sketch: Sketch, rng: random.Random) -> None:
    """Any byte of the header's body, or of the version."""
    if rng.random() < 0.1:
        sketch.head = sketch.head[:6] + bytes([rng.choice((0, 1, 2, 255)), rng.randrange(256)])
        return
    sketch.body = _scratched(sketch.body, rng)[:255]


def header_size(sketch: Sketch, rng: random.Random) -> None:
    """Another width and height, often of as many blocks as before."""
    near = [rng.randrange(1, 1025) for _ in range(6)]
    sides = [rng.choice([*near, *_NUMBERS]) for _ in range(2)]
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
        part.claimed = max(0, rng.choice((near, rng.choice(_NUMBERS))))


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
        part.payload = _scratched(part.payload, rng)


def payload_front(sketch: Sketch, rng: random.Random) -> None:
    """The first bytes of a payload: numbers of ties, levels, lengths."""
    if sketch.parts:
        part = rng.choice(sketch.parts)
        size = rng.choice((1, 4, 5, 8))
        part.payload = _scratched(part.payload[:size], rng) + part.payload[size:]


def payload_filled(sketch: Sketch, rng: random.Random) -> None:
    """A payload of one byte again and again, or of none at all."""
    if sketch.parts:
        part = rng.choice(sketch.parts)
        size = rng.choice((0, 1, 5, len(part.payload), 2 * len(part.payload)))
        part.payload = bytes([rng.choice((0, 1, 0x7F, 0x80, 0xFF))]) * size


# --- what the payloads hold ---


def stream(sketch: Sketch, rng: random.Random) -> None:
    """The symbols' checksum, ties or coded bytes of a latent stream."""
    found = sketch.of_type(schema.CHUNK_STREAM)
    if found:
        part = rng.choice(found)
        try:
            part.payload = build_stream(_bent(parse_stream(part.payload), rng))
        except VrcError:
            part.payload = _scratched(part.payload, rng)


def ladder(sketch: Sketch, rng: random.Random) -> None:
    """The same for the streams of a picture that comes in levels; and levels that are missing or doubled."""
    found = sketch.of_type(schema.CHUNK_PROGRESSIVE)
    if not found:
        return
    part = rng.choice(found)
    if rng.random() < 0.2:
        part.payload = bytes([rng.choice((0, 1, 2, 3, 64, 65, 255))]) + part.payload[1:]
        return
    try:
        streams = parse_progressive(part.payload, rng.choice((1, 1, 2))).streams
        place = rng.randrange(len(streams))
        streams[place] = _bent(streams[place], rng)
        part.payload = build_progressive(streams)
    except (VrcError, IndexError):
        part.payload = _scratched(part.payload, rng)


def _bent(found: Stream, rng: random.Random) -> Stream:
    kind = rng.randrange(4)
    if kind == 0 and found.symbols_crc is not None:
        return replace(found, symbols_crc=found.symbols_crc ^ 1 << rng.randrange(32))
    if kind == 1:
        return replace(found, data=_scratched(found.data, rng))
    if kind == 2 and found.ends:
        place = rng.randrange(len(found.ends))
        end = found.ends[place]
        ends = list(found.ends)
        ends[place] = replace(end, check=end.check ^ 1 << rng.randrange(16))
        return replace(found, ends=ends)
    return replace(found, ties=_bent_ties(found.ties, rng))


def _bent_ties(ties: Sequence[Tie], rng: random.Random) -> list[Tie]:
    """Ties added, some of them beyond the stream or of no table; in order, as they can only be stored so."""
    count = rng.choice((1, 1, 2, 8, 300))
    reach = rng.choice((1, 40, 4000, 2**20, 2**33))
    added = [Tie(rng.randrange(reach), rng.choice((0, 1, 31, 63, 64, 255))) for _ in range(count)]
    kept = [tie for tie in ties if rng.random() < 0.7]
    return sorted([*kept, *added], key=lambda tie: tie.position)


def setting(sketch: Sketch, rng: random.Random) -> None:
    """Another bin size or width, or one where there was none."""
    kind = rng.choice((schema.CHUNK_BIN_SIZE, schema.CHUNK_WIDTH))
    number = rng.choice((0, 1, 8, 16, 24, 64, 12288, 32768, 65535, rng.randrange(65536)))
    found = sketch.of_type(kind)
    if found:
        found[0].payload = number.to_bytes(2, "little")
    else:
        sketch.parts.insert(0, Part(kind, number.to_bytes(2, "little")))


def quality_map(sketch: Sketch, rng: random.Random) -> None:
    """Another map: other values, another size, too much of it, or none that can be unpacked."""
    found = sketch.of_type(schema.CHUNK_QMAP)
    if not found:
        sketch.parts.insert(0, Part(schema.CHUNK_QMAP, _deflated(rng.randbytes(rng.randrange(40)))))
        return
    try:
        values = zlib.decompressobj(-15).decompress(found[0].payload, _MOST_VALUES)
    except zlib.error:
        values = rng.randbytes(20)
    kind = rng.randrange(3)
    if kind == 0:
        values = _scratched(values, rng)
    elif kind == 1:
        values = rng.randbytes(len(values))
    else:
        values = values * rng.choice((2, 1000))
    found[0].payload = _deflated(values) + rng.choice((b"", b"", b"\0"))


def samples(sketch: Sketch, rng: random.Random) -> None:
    """Alpha, or samples without a model: how they are packed, and what is inside."""
    found = sketch.of_type(schema.CHUNK_ALPHA, schema.CHUNK_LOSSLESS)
    if not found:
        chunk = rng.choice((schema.CHUNK_ALPHA, schema.CHUNK_LOSSLESS))
        sketch.parts.insert(0, Part(chunk, b"\0" + rng.randbytes(rng.choice((1, 3)))))
        return
    part = rng.choice(found)
    kind, content = part.payload[:1], part.payload[1:]
    if rng.random() < 0.3:
        part.payload = bytes([rng.choice((0, 1, 2, 3, 255))]) + content
    elif content.startswith(_PNG_MAGIC):
        part.payload = kind + _bent_png(content, rng)
    else:
        part.payload = kind + _scratched(content[:40], rng) + content[40:]


def _bent_png(content: bytes, rng: random.Random) -> bytes:
    """Another header, other chunks, or too many samples, with checksums that fit."""
    chunks, position = [], len(_PNG_MAGIC)
    while position + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, position)
        chunks.append((kind, content[position + 8 : position + 8 + length]))
        position += 12 + length
    if not chunks:
        # An earlier mutation has taken the last one.
        return _scratched(content, rng)
    place = rng.randrange(len(chunks))
    kind, inside = chunks[place]
    way = rng.randrange(4)
    if way == 0:
        chunks[place] = kind, _scratched(inside, rng)
    elif way == 1:
        chunks[place] = kind, zlib.compress(bytes(rng.choice((0, 100, 1 << 22))))
    elif way == 2:
        chunks.insert(place, (rng.choice((b"IDAT", b"tEXt", b"acTL", b"iCCP", kind)), inside))
    else:
        del chunks[place]
    built = (struct.pack(">I", len(c)) + k + c + _png_checksum(k + c) for k, c in chunks)
    return _PNG_MAGIC + b"".join(built)


def _png_checksum(content: bytes) -> bytes:
    return zlib.crc32(content).to_bytes(4, "big")


def metadata(sketch: Sketch, rng: random.Random) -> None:
    """An ICC profile, EXIF or XMP: new, other, unpacked to too much, or not at all."""
    kind = rng.choice((schema.CHUNK_ICC, schema.CHUNK_EXIF, schema.CHUNK_XMP))
    size = rng.choice((0, 1, 30, 1 << 16, 1 << 25))
    content = rng.choice(
        (rng.randbytes(30), b"\0" + rng.randbytes(20), b"\1" + _deflated(bytes(size)))
    )
    found = sketch.of_type(kind)
    if not found:
        sketch.parts.insert(0, Part(kind, content))
    elif rng.random() < 0.5:
        found[0].payload = content
    else:
        found[0].payload = _scratched(found[0].payload, rng)


def _deflated(values: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(values) + packer.flush()


def _graft(sketch: Sketch, rng: random.Random, other: bytes) -> None:
    """Something of another file: a chunk, all its chunks, or its header."""
    donor = take_apart(other)
    if donor is None or not donor.parts:
        return
    kind = rng.randrange(3)
    if kind == 0:
        sketch.parts.insert(rng.randrange(len(sketch.parts) + 1), replace(rng.choice(donor.parts)))
    elif kind == 1:
        sketch.parts = [replace(part) for part in donor.parts]
    else:
        sketch.body = donor.body


MUTATIONS: tuple[Mutation, ...] = (
    header_byte,
    header_size,
    header_method,
    header_length,
    chunk_order,
    chunk_type,
    chunk_length,
    seal,
    payload,
    payload_front,
    payload_filled,
    stream,
    stream,
    ladder,
    ladder,
    setting,
    quality_map,
    samples,
    samples,
    metadata,
)
