"""Pictures made by hand, of kinds that Pillow does not write."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import numpy.typing as npt
from PIL import Image

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}


def stored(image: Image.Image, file_format: str, **options: object) -> io.BytesIO:
    """``image`` as a file."""
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    buffer.seek(0)
    return buffer


def gradients(mode: str = "RGB", width: int = 64, height: int = 48) -> Image.Image:
    """One in each band."""
    rows, columns = np.mgrid[:height, :width]
    bands = [columns * 255 // width, rows * 255 // height, (rows + columns) % 256, 255 - columns]
    return Image.fromarray(np.stack(bands, axis=2).astype(np.uint8)).convert(mode)


def exif_with(orientation: int) -> bytes:
    """EXIF as Pillow takes it, with a description beside the orientation."""
    exif = Image.Exif()
    exif[0x112], exif[0x10E] = orientation, "a phone"
    return exif.tobytes()


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of PNG."""
    body = kind + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def with_chunk(png: bytes, kind: bytes, content: bytes) -> io.BytesIO:
    """A PNG with one more chunk behind its header."""
    return io.BytesIO(png[:33] + chunk(kind, content) + png[33:])


def deep_png(samples: npt.NDArray[np.uint16], colour_type: int, *chunks: bytes) -> io.BytesIO:
    """A PNG of 16 bits; odd rows are filtered by the row above, even ones by the pixel before."""
    rows = samples.astype(">u2").reshape(len(samples), -1).view(np.uint8)
    pixel, above, data = 2 * _CHANNELS[colour_type], np.zeros_like(rows[0]), b""
    for number, row in enumerate(rows):
        beside = row.copy()
        beside[pixel:] -= row[:-pixel]
        data += b"\2" + (row - above).tobytes() if number % 2 else b"\1" + beside.tobytes()
        above = row
    return _png(samples.shape[1], len(samples), 16, colour_type, data, *chunks)


def shallow_png(values: npt.NDArray[np.uint8], bits: int, *chunks: bytes) -> io.BytesIO:
    """A grey PNG of 1, 2 or 4 bits a sample."""
    width = values.shape[1]
    wide = np.unpackbits(values[..., None], axis=2)[..., 8 - bits :].reshape(len(values), -1)
    data = b"".join(b"\0" + row.tobytes() for row in np.packbits(wide, axis=1))
    return _png(width, len(values), bits, 0, data, *chunks)


def _png(
    width: int, height: int, bits: int, colour_type: int, data: bytes, *chunks: bytes
) -> io.BytesIO:
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    last = chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    return io.BytesIO(_SIGNATURE + chunk(b"IHDR", header) + b"".join(chunks) + last)


def deep_tiff(
    samples: npt.NDArray[np.uint16], order: str, deflated: bool = False, orientation: int = 1
) -> io.BytesIO:
    """A TIFF of 16 bits, grey or RGB, in one strip. ``order``: < or >."""
    height, width, channels = (*samples.shape, 1)[:3]
    data = samples.astype(order + "u2").tobytes()
    data = zlib.compress(data) if deflated else data
    end = 8 + len(data) + len(data) % 2
    tags = {
        256: width,
        257: height,
        258: 16,
        259: 8 if deflated else 1,
        262: 2 if channels == 3 else 1,
    }
    tags |= {273: 8, 274: orientation, 277: channels, 278: height, 279: len(data)}
    if channels > 1:
        # Depths that do not fit lie behind the directory.
        tags[258] = end + 2 + 12 * len(tags) + 4
    directory = struct.pack(order + "H", len(tags))
    for tag, value in tags.items():
        count, kind = (channels, 3) if tag == 258 else (1, 4)
        short = count == 1 and kind == 3
        packed = struct.pack(order + "HH", value, 0) if short else struct.pack(order + "I", value)
        directory += struct.pack(order + "HHI", tag, kind, count) + packed
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", end)
    depths = struct.pack(order + "3H", 16, 16, 16)
    return io.BytesIO(head + data.ljust(end - 8, b"\0") + directory + bytes(4) + depths)
