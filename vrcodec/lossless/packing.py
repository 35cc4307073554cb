"""Blocks of samples, packed without loss into the smallest of three: PNG, WebP, or one value for all.

What is unpacked comes from a file that nobody vouches for. So the structure of a PNG or WebP is read here, by
hand, before a decoder sees it: the size, mode and chunks that `pack` writes, and nothing else.
"""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import numpy.typing as npt
from PIL import Image

from vrcodec.errors import CorruptError

Samples = npt.NDArray[np.uint8]

# First byte of a payload.
_CONSTANT, _PNG, _WEBP = 0, 1, 2

# Slower settings of WebP take thirty times as long for hundredths of a per cent.
_WEBP_OPTIONS = {"lossless": True, "exact": True, "method": 6, "quality": 75}

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
# Length, type and checksum of a chunk.
_PNG_FRAME = 12
# Colour types of PNG by the number of channels.
_PNG_COLOURS = {1: 0, 3: 2}
_RIFF = struct.Struct("<4sI4s4sI")
# The signature of a lossless bitstream, 14 bits each of width and height, a bit for alpha, 3 of the version.
_VP8L = struct.Struct("<BI")
_VP8L_SIGNATURE = 0x2F
_SIDE_BITS = 14


def pack(samples: Samples) -> bytes:
    """The payload of ``samples``, uint8 (H, W) or (H, W, 3), with sides up to 2^14 - 1."""
    flat = samples.reshape(samples.shape[0] * samples.shape[1], -1)
    if (flat == flat[0]).all():
        return bytes([_CONSTANT]) + flat[0].tobytes()
    image = Image.fromarray(samples)
    bilevel = samples.ndim == 2 and bool(((samples == 0) | (samples == 255)).all())
    # A bit a sample, where that says it all.
    png = _saved(image.convert("1") if bilevel else image, "PNG", optimize=True)
    webp = _saved(image, "WEBP", **_WEBP_OPTIONS)
    return min(bytes([_PNG]) + png, bytes([_WEBP]) + webp, key=len)


def _saved(image: Image.Image, name: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, name, **options)
    return buffer.getvalue()


def unpack(payload: bytes, width: int, height: int, channels: int) -> Samples:
    """Inverse of `pack`: uint8 (height, width), or (height, width, 3) for 3 ``channels``. Raises CorruptError.

    Memory is in proportion to the size that is asked for, whatever the payload says.
    """
    check(payload, width, height, channels)
    if payload[0] == _CONSTANT:
        samples = np.empty((height, width, channels), np.uint8)
        samples[:] = np.frombuffer(payload[1:], np.uint8)
    else:
        samples = _decoded(payload[1:], "PNG" if payload[0] == _PNG else "WEBP", channels)
    if samples.shape != (height, width, channels):
        raise CorruptError("damaged: a block of samples is not of its size")
    return samples if channels > 1 else samples[:, :, 0]


def check(payload: bytes, width: int, height: int, channels: int) -> None:
    """Raise CorruptError unless the structure is right: the format, size and mode, without decoding."""
    kind, content = payload[:1], payload[1:]
    if kind == bytes([_CONSTANT]):
        right = len(content) == channels
    elif kind == bytes([_PNG]):
        right = _is_png(content, width, height, channels)
    else:
        right = kind == bytes([_WEBP]) and _is_webp(content, width, height)
    if not right:
        raise CorruptError("damaged: a block of samples is not what it must be")


def _is_png(content: bytes, width: int, height: int, channels: int) -> bool:
    """Whether there are a header as expected, samples, the end, and nothing else: no text, no animation."""
    depths = (1, 8) if channels == 1 else (8,)
    headers = {
        struct.pack(">IIBBBBB", width, height, depth, _PNG_COLOURS[channels], 0, 0, 0): depth
        for depth in depths
    }
    chunks, position = [], len(_PNG_MAGIC)
    while position + _PNG_FRAME <= len(content):
        length, kind = struct.unpack_from(">I4s", content, position)
        chunks.append((kind, content[position + 8 : position + 8 + length]))
        position += _PNG_FRAME + length
    kinds = [kind for kind, _ in chunks]
    if not content.startswith(_PNG_MAGIC) or position != len(content) or len(chunks) < 3:
        return False
    header, samples = chunks[0][1], b"".join(body for _, body in chunks[1:-1])
    if kinds != [b"IHDR", *[b"IDAT"] * (len(kinds) - 2), b"IEND"] or header not in headers:
        return False
    if chunks[-1][1]:
        return False
    # A row is a byte that names its filter, and whole bytes of samples.
    row = 1 + -(-width * channels * headers[header] // 8)
    return _inflates_to(samples, height * row)


def _inflates_to(content: bytes, length: int) -> bool:
    """Whether ``length`` bytes are deflated in ``content``: decoders fill up or cut off in silence."""
    unpacker = zlib.decompressobj()
    try:
        found = len(unpacker.decompress(content, length + 1))
    except zlib.error:
        return False
    return found == length and unpacker.eof and not unpacker.unused_data


def _is_webp(content: bytes, width: int, height: int) -> bool:
    """Whether there is a lossless picture without alpha, and nothing else: no animation, no metadata."""
    start = _RIFF.size
    if len(content) < start + _VP8L.size:
        return False
    riff, size, form, kind, length = _RIFF.unpack_from(content)
    signature, bits = _VP8L.unpack_from(content, start)
    return (
        (riff, form, kind) == (b"RIFF", b"WEBP", b"VP8L")
        # Chunks of RIFF are of even length.
        and size + 8 == len(content) == start + length + length % 2
        and signature == _VP8L_SIGNATURE
        and bits == (width - 1) | (height - 1) << _SIDE_BITS
    )


def _decoded(content: bytes, name: str, channels: int) -> Samples:
    """(H, W, channels) of a checked PNG or WebP."""
    try:
        with Image.open(io.BytesIO(content), formats=(name,)) as image:
            samples = np.asarray(image.convert("L") if image.mode == "1" else image)
    except MemoryError:
        raise
    except Exception as error:
        # Decoders raise whatever the damage brings about.
        raise CorruptError("damaged: a block of samples cannot be unpacked") from error
    if samples.ndim == 2:
        return samples[:, :, None]
    if channels == 1:
        # WebP has no grey.
        if (samples != samples[:, :, :1]).any():
            raise CorruptError("damaged: a block of grey samples has colours")
        return samples[:, :, :1]
    return samples
