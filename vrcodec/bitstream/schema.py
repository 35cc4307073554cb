"""The layout of a .vrc file, declared with construct. docs/FORMAT.md says the same in prose.

Little-endian throughout; VarInt is unsigned LEB128. In the chunks of latents, `vrcodec.bitstream.latent_stream`
and `vrcodec.bitstream.progressive` read long lists by hand (`read_varint`).
"""

from __future__ import annotations

from construct import (
    Byte,
    Bytes,
    Const,
    Container,
    ExprAdapter,
    Int16sl,
    Int16ul,
    Int32ul,
    Prefixed,
    RawCopy,
    Struct,
    ValidationError,
    VarInt,
)

from vrcodec.errors import CorruptError

# 8D: not ASCII, so a 7-bit transfer shows. 0D 0A: a transfer that rewrites line ends, in either
# direction, shows. PNG has two bytes more, against programs that no longer exist.
MAGIC = b"\x8dVRC\r\n"

VERSION_MAJOR = 1
VERSION_MINOR = 0

# Numbers of the model families; 0 is a lossless codec, without a model (`vrcodec.bitstream.assembly`).
METHOD_LOSSLESS = 0
LOSSLESS = "lossless"
METHODS = {1: "gained", 2: "qvrf", 3: "qmap", 4: "slim", 5: "qarv", 6: "hyperprior"}
# Method -> the minor version that brought it, where that is not the first.
METHOD_MINOR_VERSIONS = {6: 1}

MODE_GREY = 0
MODE_RGB = 1
MODE_BILEVEL = 2

CHUNK_STREAM = 0x01
CHUNK_BIN_SIZE = 0x02
CHUNK_QMAP = 0x03
CHUNK_WIDTH = 0x04
CHUNK_PROGRESSIVE = 0x05
# Of alpha, and of pictures stored without a model: one for each block, in the order of latent streams.
CHUNK_ALPHA = 0x06
CHUNK_LOSSLESS = 0x07
# Of cells that are stored without loss, over what a model codes (`vrcodec.lossless.cells`).
CHUNK_CELLS = 0x08
# A quality map of smaller cells than those of `CHUNK_QMAP`.
CHUNK_FINE_QMAP = 0x09
CRITICAL_CHUNKS = (
    CHUNK_STREAM,
    CHUNK_BIN_SIZE,
    CHUNK_QMAP,
    CHUNK_WIDTH,
    CHUNK_PROGRESSIVE,
    CHUNK_ALPHA,
    CHUNK_LOSSLESS,
    CHUNK_CELLS,
    CHUNK_FINE_QMAP,
)
# Method -> its type of latent chunk, where that is not one `CHUNK_STREAM` for each block.
METHOD_LATENT_CHUNKS = {METHOD_LOSSLESS: CHUNK_LOSSLESS, 5: CHUNK_PROGRESSIVE}
# Chunks of the picture itself: behind one come only more of the same type.
LATENT_CHUNKS = (CHUNK_STREAM, CHUNK_PROGRESSIVE, CHUNK_LOSSLESS)
# Chunks of which there is one for each block.
BLOCK_CHUNKS = (CHUNK_STREAM, CHUNK_ALPHA, CHUNK_LOSSLESS, CHUNK_CELLS)
# Chunks that came with a later minor version, which files have that have one of these.
CHUNK_MINOR_VERSIONS = {CHUNK_FINE_QMAP: 1}
# Types from here on are ancillary: a reader that does not know one skips it.
FIRST_ANCILLARY = 0x80
CHUNK_ICC = 0x80
CHUNK_EXIF = 0x81
CHUNK_XMP = 0x82
# One checksum over those of all others, in files of several blocks.
CHUNK_BINDING = 0x83
KNOWN_ANCILLARY = (CHUNK_ICC, CHUNK_EXIF, CHUNK_XMP, CHUNK_BINDING)

Preamble = Struct(
    "magic" / Const(MAGIC),
    "major" / Byte,
    "minor" / Byte,
)

# 35 bits: more than any number in this version needs.
VARINT_MAX_BYTES = 5


def _bounded(parsed: Container, context: Container) -> int:
    """The value of a VarInt that was parsed. Raises ValidationError where it is too long."""
    if parsed.length > VARINT_MAX_BYTES:
        raise ValidationError("a number is too long")
    return int(parsed.value)


_BoundedVarInt = ExprAdapter(
    RawCopy(VarInt), _bounded, lambda value, context: Container(value=value)
)

# A later minor version may add fields behind these; the prefix tells how many bytes there are.
HeaderBody = Struct(
    "method" / Byte,
    "weights_id" / Bytes(8),
    "width" / _BoundedVarInt,
    "height" / _BoundedVarInt,
    "mode" / Byte,
    "rate" / Int16ul,
)

Header = Struct("preamble" / Preamble, "body" / Prefixed(Byte, HeaderBody))

Checksum = Int32ul
# The check of a level that is not the last one.
LevelCheck = Int16ul

# Code of the quantisation step, where it is not the rate's own (`vrcodec.rate`).
BinSize = Int16sl

# Channels of the networks, where they are not the rate's own.
Width = Int16ul

# Type of chunk that not every method may have -> those that may.
CHUNK_METHODS = {
    CHUNK_BIN_SIZE: (2, 6),
    CHUNK_QMAP: (3,),
    CHUNK_FINE_QMAP: (3,),
    CHUNK_WIDTH: (4,),
    CHUNK_PROGRESSIVE: (5,),
    CHUNK_LOSSLESS: (METHOD_LOSSLESS,),
}

ChunkPrefix = Struct("type" / Byte, "length" / VarInt)


def read_varint(data: bytes, position: int) -> tuple[int, int]:
    """The VarInt at ``position`` and the position behind it: bounded, and faster than construct.

    Raises CorruptError.
    """
    value = 0
    for index, byte in enumerate(data[position : position + VARINT_MAX_BYTES]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, position + index + 1
    raise CorruptError(f"a number at byte {position} of a chunk is incomplete or too long")
