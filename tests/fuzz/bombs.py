"""Small files that claim much: pixels, chunks, ties, levels, a map. Each must be refused at once."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator

from tests.fuzz.sketch import Part, Sketch, varint
from vrcodec.bitstream import schema
from vrcodec.catalog import find_by_family

_HUGE = 1 << 63
# The largest pictures that the limits let in: square, and as narrow as they may be.
SIDES = ((1 << 14, 1 << 14), (1 << 20, 1 << 8), (1 << 8, 1 << 20))
_BLOCK_PIXELS = 1024
# A stream with neither ties nor coded bytes: rANS decodes it for ever.
_EMPTY_STREAM = bytes(5)

Bomb = Callable[[], bytes]


def bombs() -> Iterator[tuple[str, Bomb]]:
    """Name and maker of each. They need the weights of all families."""
    yield from _headers()
    yield from _counts()
    yield from _sides()
    for method, family in schema.METHODS.items():
        for width, height in SIDES:
            name = f"{family} {width}x{height} of nothing"
            yield name, lambda m=method, w=width, h=height: _of_nothing(m, w, h)  # type: ignore[misc]


def _headers() -> Iterator[tuple[str, Bomb]]:
    """Headers that lie, with hardly anything behind them."""
    for width, height in ((_HUGE, 1), (1, _HUGE), (1 << 20, 1 << 20), (1 << 24, 16), (0, 5)):
        name = f"header of {width}x{height}"
        yield name, lambda w=width, h=height: _file(1, w, h, [])  # type: ignore[misc]
    for width, height in SIDES:
        name = f"header of {width}x{height} and no chunk"
        yield name, lambda w=width, h=height: _file(1, w, h, [])  # type: ignore[misc]
    endless = Sketch(_HEAD, bytes([1]) + bytes(8) + b"\xff" * 200)
    yield "header with an endless number", endless.build
    for length in (1 << 28, 1 << 40, _HUGE):
        yield f"chunk of {length} bytes", lambda n=length: _lying_chunk(n)  # type: ignore[misc]


def _counts() -> Iterator[tuple[str, Bomb]]:
    """Many of something."""
    yield "100000 chunks", lambda: _file(1, 9, 9, [Part(0xC2, b"")] * 100_000)
    yield (
        "100000 streams",
        lambda: _file(1, 9, 9, [Part(schema.CHUNK_STREAM, _EMPTY_STREAM)] * 100_000),
    )
    ties = bytes(4) + varint(1 << 35)
    yield "2^35 ties", lambda: _file(1, 9, 9, [Part(schema.CHUNK_STREAM, ties)])
    many = bytes(4) + varint(65535) + b"\x01\x01" * 65535
    yield "2^16 ties", lambda: _file(1, 9, 9, [Part(schema.CHUNK_STREAM, many)])
    level = b"\0" + varint(1 << 34) + bytes(2)
    yield (
        "level of 2^34 bytes",
        lambda: _file(5, 9, 9, [Part(schema.CHUNK_PROGRESSIVE, b"\x09" + level)]),
    )
    for levels in (2, 64, 255):
        name = f"{levels} levels of nothing"
        yield name, lambda n=levels: _file(5, 1 << 14, 1 << 14, [_ladder(n, 256)])  # type: ignore[misc]
    yield (
        "deflated map",
        lambda: _file(
            3, 1 << 14, 1 << 14, [Part(schema.CHUNK_QMAP, _deflated(1 << 28)), *_streams(256)]
        ),
    )


def _sides() -> Iterator[tuple[str, Bomb]]:
    """What stands beside latents, or in their place: far more of it when unpacked."""
    for kind, name in (
        (schema.CHUNK_ICC, "ICC"),
        (schema.CHUNK_EXIF, "EXIF"),
        (schema.CHUNK_XMP, "XMP"),
    ):
        part = Part(kind, b"\x01" + _deflated(1 << 28))
        yield f"deflated {name}", lambda p=part: _file(1, 9, 9, [p, *_streams(1)])  # type: ignore[misc]
    opaque = [Part(schema.CHUNK_ALPHA, b"\x00\xff")] * 256
    yield "alpha of 2^28 pixels", lambda: _file(1, 1 << 14, 1 << 14, [*opaque, *_streams(256)])
    for side in (9, 1 << 10):
        inner = Part(schema.CHUNK_ALPHA, b"\x01" + _png(side, zlib.compress(bytes(1 << 26), 9)))
        yield (
            f"alpha of {side} pixels a side, unpacked 2^26 bytes",
            lambda p=inner: _file(  # type: ignore[misc]
                1, 9, 9, [p, *_streams(1)]
            ),
        )
    inner = Part(schema.CHUNK_LOSSLESS, b"\x01" + _png(1 << 16, b""))
    yield "lossless PNG of 2^32 pixels", lambda: _file(0, 9, 9, [inner])
    yield (
        "lossless of nothing",
        lambda: _file(0, 1 << 14, 1 << 14, [Part(schema.CHUNK_LOSSLESS, b"\x01")] * 256),
    )


def _png(side: int, samples: bytes) -> bytes:
    """A grey PNG of so many pixels a side; ``samples`` as they stand in the file."""
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", samples), (b"IEND", b"")]
    built = (
        struct.pack(">I", len(content))
        + kind
        + content
        + zlib.crc32(kind + content).to_bytes(4, "big")
        for kind, content in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(built)


def _of_nothing(method: int, width: int, height: int) -> bytes:
    """All streams that a picture of this size needs, and nothing in them."""
    blocks = -(-width // _BLOCK_PIXELS) * -(-height // _BLOCK_PIXELS)
    latents = [_ladder(9, blocks)] if schema.METHODS[method] == "qarv" else _streams(blocks)
    return _file(method, width, height, latents)


def _streams(count: int) -> list[Part]:
    return [Part(schema.CHUNK_STREAM, _EMPTY_STREAM)] * count


def _ladder(levels: int, blocks: int) -> Part:
    """Of every block no ties, and levels of no bytes."""
    payload = bytes([levels]) + bytes(blocks) + bytes(3 * blocks * (levels - 1)) + bytes(5 * blocks)
    return Part(schema.CHUNK_PROGRESSIVE, payload)


def _lying_chunk(length: int) -> bytes:
    return _file(1, 9, 9, [Part(schema.CHUNK_STREAM, b"", claimed=length)])


_HEAD = schema.MAGIC + bytes([schema.VERSION_MAJOR, schema.VERSION_MINOR])


def _file(method: int, width: int, height: int, parts: list[Part]) -> bytes:
    family = schema.METHODS.get(method)
    identity = find_by_family(family).id if family else bytes(8)
    size = varint(width) + varint(height)
    body = bytes([method]) + identity + size + bytes([schema.MODE_RGB]) + b"\x00\x80"
    return Sketch(_HEAD, body, parts).build()


def _deflated(size: int) -> bytes:
    """So many zero bytes, in a thousandth of the room."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(bytes(size)) + packer.flush()
