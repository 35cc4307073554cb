"""FORMAT.md, sections 8 and 9: samples without loss, and metadata."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import numpy.typing as npt
from PIL import Image

from conformance.reference.container import Cursor, File, RefusedError, Window, inflate, require

Bytes = npt.NDArray[np.uint8]


def unpack_samples(payload: bytes, height: int, width: int, channels: int) -> Bytes:
    """Samples (height, width, channels) that are stored without loss."""
    require(payload, "no samples")
    coding, content = payload[0], payload[1:]
    if coding == 0:
        require(len(content) == channels, "not one value for each channel")
        return np.broadcast_to(np.frombuffer(content, np.uint8), (height, width, channels))
    require(coding in (1, 2), "samples in an unknown coding")
    (check_png if coding == 1 else check_webp)(content, height, width, channels)
    try:
        with Image.open(io.BytesIO(content), formats=["PNG" if coding == 1 else "WEBP"]) as image:
            samples = np.asarray(image.convert("L") if image.mode == "1" else image)
    except (OSError, SyntaxError, ValueError) as error:
        raise RefusedError("samples that cannot be unpacked") from error
    samples = samples.reshape(height, width, -1)
    require(channels == 3 or (samples == samples[..., :1]).all(), "grey samples with colours")
    return samples[..., :channels]


def check_png(content: bytes, height: int, width: int, channels: int) -> None:
    """Refuse a PNG of another size or kind, or with more or less in it than its samples."""
    cursor, types, packed = Cursor(content), [], []
    require(cursor.take(8) == b"\x89PNG\r\n\x1a\n", "no PNG")
    header = b""
    while cursor.left:
        length = int.from_bytes(cursor.take(4), "big")
        types.append(cursor.take(4))
        body = cursor.take(length)
        cursor.take(4)
        header = header or body
        packed += [body] if types[-1] == b"IDAT" else []
        require(types[-1] != b"IEND" or not body, "an end with something in it")
    require(
        types == [b"IHDR", *[b"IDAT"] * len(packed), b"IEND"] and packed, "a PNG of other chunks"
    )
    depths = [
        depth
        for depth in ((1, 8) if channels == 1 else (8,))
        if header == struct.pack(">IIBBBBB", width, height, depth, channels - 1, 0, 0, 0)
    ]
    require(depths, "a PNG of another size or kind")
    length = height * (1 + -(-width * channels * depths[0] // 8))
    require(len(inflate(b"".join(packed), length, zlib.MAX_WBITS)) == length, "rows are missing")


def check_webp(content: bytes, height: int, width: int, channels: int) -> None:
    """Refuse a WebP of another size, or with anything but one lossless picture without alpha."""
    cursor = Cursor(content)
    require(cursor.take(4) == b"RIFF" and cursor.number(4) == cursor.left, "no RIFF of its length")
    require(cursor.take(8) == b"WEBPVP8L", "no lossless WebP")
    length = cursor.number(4)
    require(cursor.left == length + length % 2, "more than one chunk")
    sides = (width - 1) | (height - 1) << 14
    require(cursor.number(1) == 0x2F and cursor.number(4) == sides, "a WebP of another size")


def pixel_windows(file: File) -> list[Window]:
    """The blocks, as windows of pixels."""
    sides = file.height, file.width
    return [
        (
            slice(16 * rows.start, min(16 * rows.stop, sides[0])),
            slice(16 * columns.start, min(16 * columns.stop, sides[1])),
        )
        for rows, columns in file.windows()
    ]


def stored_samples(file: File, chunk_type: int, channels: int) -> Bytes:
    """Samples (H, W, channels) from chunks of one type."""
    samples = np.zeros((file.height, file.width, channels), np.uint8)
    for payload, window in zip(file.chunks[chunk_type], pixel_windows(file), strict=True):
        height, width = samples[window].shape[:2]
        samples[window] = unpack_samples(payload, height, width, channels)
    return samples


def put_cells(file: File, pixels: Bytes) -> None:
    """Put lossless cells over ``pixels`` (H, W, 3)."""
    for payload, window in zip(file.chunks[8], pixel_windows(file), strict=True):
        if not payload:
            continue
        part = pixels[window]
        height, width = part.shape[:2]
        rows, columns = -(-height // 16), -(-width // 16)
        cursor = Cursor(payload)
        bits = inflate(cursor.take(cursor.number(2)), -(-rows * columns // 8))
        require(len(bits) == -(-rows * columns // 8), "a mask of another size")
        cells = np.unpackbits(np.frombuffer(bits, np.uint8), count=rows * columns)
        mask = cells.reshape(rows, columns).repeat(16, axis=0).repeat(16, axis=1).astype(bool)
        mask = mask[:height, :width]
        samples = unpack_samples(cursor.take(cursor.left), height, width, file.channels)
        part[mask] = np.broadcast_to(samples, part.shape)[mask]


def read_metadata(file: File) -> dict[str, bytes]:
    """ICC profile, EXIF and XMP, those that there are."""
    found = {}
    for chunk_type, name in ((0x80, "icc"), (0x81, "exif"), (0x82, "xmp")):
        payload = file.single(chunk_type)
        if payload is not None:
            require(payload[:1] in (b"\0", b"\1"), "metadata in an unknown packing")
            content = payload[1:]
            require(len(content) <= 1 << 24, "metadata over the limit")
            found[name] = inflate(content, 1 << 24) if payload[0] else content
    return found
