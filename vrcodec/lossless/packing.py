"""Lossless coding of one block of samples, as the smallest of PNG, WebP, or one value for all.

Payloads come from untrusted files. So the structure of a PNG or WebP is checked here before a decoder sees it:
the size, mode and chunks that `pack` writes, and nothing else.
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

# First byte of a payload: the coding.
_CONSTANT, _PNG, _WEBP = 0, 1, 2

# Slower settings of WebP take thirty times as long for hundredths of a per cent.
_WEBP_OPTIONS = {"lossless": True, "exact": True, "method": 6, "quality": 75}

# Of an estimate: bands of rows, at regular distances.
_SAMPLE_BANDS, _BAND_ROWS, _SAMPLE_COLUMNS = 3, 16, 512
# What the rows take beside their samples, and all of a picture no more.
_OVERHEAD = 64
_HASTY_WEBP_OPTIONS = {**_WEBP_OPTIONS, "method": 2, "quality": 30}

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Length, type and checksum of a chunk.
_PNG_CHUNK_OVERHEAD = 12
# Colour types of PNG by the number of channels.
_PNG_COLOUR_TYPES = {1: 0, 3: 2}
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
    # One bit a sample where that is enough.
    png = _compress(image.convert("1") if bilevel else image, "PNG", optimize=True)
    webp = _compress(image, "WEBP", **_WEBP_OPTIONS)
    return min(bytes([_PNG]) + png, bytes([_WEBP]) + webp, key=len)


def estimate_bpp(samples: Samples) -> float:
    """About how many bits a pixel `pack` takes for ``samples`` (H, W, 3), from some of its rows, in haste."""
    height = len(samples)
    bands = min(_SAMPLE_BANDS, -(-height // _BAND_ROWS))
    tops = np.linspace(0, max(height - _BAND_ROWS, 0), bands).astype(int)
    rows = np.concatenate([samples[top : top + _BAND_ROWS, :_SAMPLE_COLUMNS] for top in tops])
    packed = len(_compress(Image.fromarray(rows), "WEBP", **_HASTY_WEBP_OPTIONS))
    return 8 * max(0, packed - _OVERHEAD) / (rows.shape[0] * rows.shape[1])


def _compress(image: Image.Image, name: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, name, **options)
    return buffer.getvalue()


def unpack(payload: bytes, width: int, height: int, channels: int) -> Samples:
    """Inverse of `pack`: uint8 (height, width), or (height, width, 3) for 3 ``channels``. Raises CorruptError.

    Memory is bounded by the size that is asked for, whatever the payload claims.
    """
    check(payload, width, height, channels)
    if payload[0] == _CONSTANT:
        samples = np.empty((height, width, channels), np.uint8)
        samples[:] = np.frombuffer(payload[1:], np.uint8)
    else:
        samples = _decode(payload[1:], "PNG" if payload[0] == _PNG else "WEBP", channels)
    if samples.shape != (height, width, channels):
        raise CorruptError("damaged: a block of samples is not of its size")
    return samples if channels > 1 else samples[:, :, 0]


def check(payload: bytes, width: int, height: int, channels: int) -> None:
    """Raise CorruptError unless coding, size and mode are right, without decoding the samples."""
    coding, content = payload[:1], payload[1:]
    if coding == bytes([_CONSTANT]):
        valid = len(content) == channels
    elif coding == bytes([_PNG]):
        valid = _is_png(content, width, height, channels)
    else:
        valid = coding == bytes([_WEBP]) and _is_webp(content, width, height)
    if not valid:
        raise CorruptError("damaged: a block of samples is not what it must be")


def _is_png(content: bytes, width: int, height: int, channels: int) -> bool:
    """Whether it has the expected header, samples, the end, and nothing else: no text, no animation."""
    depths = (1, 8) if channels == 1 else (8,)
    headers = {
        struct.pack(">IIBBBBB", width, height, depth, _PNG_COLOUR_TYPES[channels], 0, 0, 0): depth
        for depth in depths
    }
    chunks, position = [], len(_PNG_SIGNATURE)
    while position + _PNG_CHUNK_OVERHEAD <= len(content):
        length, chunk_type = struct.unpack_from(">I4s", content, position)
        chunks.append((chunk_type, content[position + 8 : position + 8 + length]))
        position += _PNG_CHUNK_OVERHEAD + length
    types = [chunk_type for chunk_type, _ in chunks]
    if not content.startswith(_PNG_SIGNATURE) or position != len(content) or len(chunks) < 3:
        return False
    header, samples = chunks[0][1], b"".join(body for _, body in chunks[1:-1])
    if types != [b"IHDR", *[b"IDAT"] * (len(types) - 2), b"IEND"] or header not in headers:
        return False
    if chunks[-1][1]:
        return False
    # A row is a byte that names its filter, and whole bytes of samples.
    row_bytes = 1 + -(-width * channels * headers[header] // 8)
    return _inflates_to(samples, height * row_bytes)


def _inflates_to(content: bytes, length: int) -> bool:
    """Whether ``content`` inflates to ``length`` bytes; decoders pad or truncate without an error."""
    inflater = zlib.decompressobj()
    try:
        inflated = len(inflater.decompress(content, length + 1))
    except zlib.error:
        return False
    return inflated == length and inflater.eof and not inflater.unused_data


def _is_webp(content: bytes, width: int, height: int) -> bool:
    """Whether it is a lossless picture without alpha, and nothing else: no animation, no metadata."""
    start = _RIFF.size
    if len(content) < start + _VP8L.size:
        return False
    riff, size, form, chunk_type, length = _RIFF.unpack_from(content)
    signature, bits = _VP8L.unpack_from(content, start)
    return (
        (riff, form, chunk_type) == (b"RIFF", b"WEBP", b"VP8L")
        # Chunks of RIFF are of even length.
        and size + 8 == len(content) == start + length + length % 2
        and signature == _VP8L_SIGNATURE
        and bits == (width - 1) | (height - 1) << _SIDE_BITS
    )


def _decode(content: bytes, name: str, channels: int) -> Samples:
    """(H, W, channels) of a checked PNG or WebP."""
    try:
        with Image.open(io.BytesIO(content), formats=(name,)) as image:
            samples = np.asarray(image.convert("L") if image.mode == "1" else image)
    except MemoryError:
        raise
    except Exception as error:
        # Decoders raise exceptions of any type on damaged content.
        raise CorruptError("damaged: a block of samples cannot be unpacked") from error
    if samples.ndim == 2:
        return samples[:, :, None]
    if channels == 1:
        # WebP has no grey.
        if (samples != samples[:, :, :1]).any():
            raise CorruptError("damaged: a block of grey samples has colours")
        return samples[:, :, :1]
    return samples
