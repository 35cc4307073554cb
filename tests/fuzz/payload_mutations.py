"""Mutations of what payloads hold: streams, settings, quality maps, samples, metadata."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Sequence
from dataclasses import replace

from tests.fuzz.scratches import scratched
from tests.fuzz.sketch import Part, Sketch
from vrcodec.bitstream import schema
from vrcodec.bitstream.latent_stream import Stream, Tie, build_stream, parse_stream
from vrcodec.bitstream.progressive import build_progressive, parse_progressive
from vrcodec.errors import VrcError

# Of a map, before it is made a thousand times too large.
_MOST_VALUES = 1 << 12
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


def stream(sketch: Sketch, rng: random.Random) -> None:
    """The symbols' checksum, ties or coded bytes of a latent stream."""
    found = sketch.of_type(schema.CHUNK_STREAM)
    if found:
        part = rng.choice(found)
        try:
            part.payload = build_stream(_bent(parse_stream(part.payload), rng))
        except VrcError:
            part.payload = scratched(part.payload, rng)


def progressive(sketch: Sketch, rng: random.Random) -> None:
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
        part.payload = scratched(part.payload, rng)


def _bent(found: Stream, rng: random.Random) -> Stream:
    kind = rng.randrange(4)
    if kind == 0 and found.symbols_crc is not None:
        return replace(found, symbols_crc=found.symbols_crc ^ 1 << rng.randrange(32))
    if kind == 1:
        return replace(found, data=scratched(found.data, rng))
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
    found = sketch.of_type(schema.CHUNK_QMAP, schema.CHUNK_FINE_QMAP)
    if not found:
        kind = rng.choice((schema.CHUNK_QMAP, schema.CHUNK_FINE_QMAP))
        payload = _divisor(kind, rng) + _deflated(rng.randbytes(rng.randrange(40)))
        sketch.parts.insert(0, Part(kind, payload))
        return
    start = len(_divisor(found[0].type, rng))
    try:
        values = zlib.decompressobj(-15).decompress(found[0].payload[start:], _MOST_VALUES)
    except zlib.error:
        values = rng.randbytes(20)
    kind = rng.randrange(3)
    if kind == 0:
        values = scratched(values, rng)
    elif kind == 1:
        values = rng.randbytes(len(values))
    else:
        values = values * rng.choice((2, 1000))
    end = rng.choice((b"", b"", b"\0"))
    found[0].payload = _divisor(found[0].type, rng) + _deflated(values) + end


def _divisor(chunk_type: int, rng: random.Random) -> bytes:
    """What goes before the values of a map of small cells."""
    return bytes([rng.choice((0, 1, 1, 5, 255))]) if chunk_type == schema.CHUNK_FINE_QMAP else b""


def samples(sketch: Sketch, rng: random.Random) -> None:
    """Alpha, or samples without a model: how they are packed, and what is inside."""
    found = sketch.of_type(schema.CHUNK_ALPHA, schema.CHUNK_LOSSLESS)
    if not found:
        chunk = rng.choice((schema.CHUNK_ALPHA, schema.CHUNK_LOSSLESS))
        sketch.parts.insert(0, Part(chunk, b"\0" + rng.randbytes(rng.choice((1, 3)))))
        return
    part = rng.choice(found)
    part.payload = _bent_samples(part.payload, rng)


def _bent_samples(payload: bytes, rng: random.Random) -> bytes:
    kind, content = payload[:1], payload[1:]
    if rng.random() < 0.3:
        return bytes([rng.choice((0, 1, 2, 3, 255))]) + content
    if content.startswith(_PNG_MAGIC):
        return kind + _bent_png(content, rng)
    return kind + scratched(content[:40], rng) + content[40:]


def cells(sketch: Sketch, rng: random.Random) -> None:
    """Lossless cells: which, how many, and what is inside; or some where there were none."""
    found = sketch.of_type(schema.CHUNK_CELLS)
    if not found:
        mask = _deflated(rng.randbytes(rng.choice((1, 2, 512))))
        inside = b"\0" + rng.randbytes(rng.choice((1, 3)))
        payload = len(mask).to_bytes(2, "little") + mask + inside
        sketch.parts.insert(0, Part(schema.CHUNK_CELLS, rng.choice((payload, b"", payload[:5]))))
        return
    part = rng.choice(found)
    end = 2 + int.from_bytes(part.payload[:2], "little")
    mask, inside = part.payload[2:end], part.payload[end:]
    way = rng.randrange(4)
    if way == 0:
        mask = _deflated(rng.randbytes(rng.choice((0, 1, 2, 3, 512, 1 << 20))))
    elif way == 1:
        mask = scratched(mask, rng)
    elif way == 2:
        inside = _bent_samples(inside, rng)
    length = rng.choice((0, 1, len(mask) + 1, 65535)) if way == 3 else len(mask)
    part.payload = min(length, 65535).to_bytes(2, "little") + mask + inside


def _bent_png(content: bytes, rng: random.Random) -> bytes:
    """Another header, other chunks, or too many samples, with checksums that fit."""
    chunks, position = [], len(_PNG_MAGIC)
    while position + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, position)
        chunks.append((kind, content[position + 8 : position + 8 + length]))
        position += 12 + length
    if not chunks:
        # An earlier mutation has taken the last one.
        return scratched(content, rng)
    place = rng.randrange(len(chunks))
    kind, inside = chunks[place]
    way = rng.randrange(4)
    if way == 0:
        chunks[place] = kind, scratched(inside, rng)
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
        found[0].payload = scratched(found[0].payload, rng)


def _deflated(values: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(values) + packer.flush()
