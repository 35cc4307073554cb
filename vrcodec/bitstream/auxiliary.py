"""Auxiliary chunks, in front of the picture itself: metadata, and the payloads of alpha and of lossless cells.

Without numpy, so that `vrcodec info` starts at once; `vrcodec.lossless` codes the blocks.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from vrcodec.bitstream import schema
from vrcodec.bitstream.container import Chunk, Container, LazyPayloads
from vrcodec.errors import CorruptError, LimitError
from vrcodec.limits import DEFAULT_LIMITS, Limits
from vrcodec.picture.metadata import Metadata

# Type of chunk -> its content in words, and the field of `Metadata`.
_METADATA_CHUNKS = {
    schema.CHUNK_ICC: ("ICC profile", "icc"),
    schema.CHUNK_EXIF: ("EXIF data", "exif"),
    schema.CHUNK_XMP: ("XMP data", "xmp"),
}
_PLAIN, _DEFLATED = 0, 1
# `wbits` of raw deflate, without a checksum: the chunk has one.
_RAW_DEFLATE = -15


def metadata_chunks(metadata: Metadata, limits: Limits = DEFAULT_LIMITS) -> list[Chunk]:
    """The chunks of ``metadata``. Raises LimitError for more than a reader accepts."""
    chunks = []
    for chunk_type, (what, field) in _METADATA_CHUNKS.items():
        content = getattr(metadata, field)
        if not content:
            continue
        if len(content) > limits.max_metadata_bytes:
            raise LimitError(
                f"{len(content)} bytes of {what} are over the limit of {limits.max_metadata_bytes}; strip them"
            )
        chunks.append(Chunk(chunk_type, _pack(content)))
    return chunks


def parse_metadata(container: Container, limits: Limits = DEFAULT_LIMITS) -> Metadata:
    """Inverse of `metadata_chunks`. Raises CorruptError or LimitError."""
    fields = {}
    for chunk_type, (what, field) in _METADATA_CHUNKS.items():
        payload = container.single_payload(chunk_type, what)
        if payload is not None:
            fields[field] = _unpack(payload, what, limits.max_metadata_bytes)
    return Metadata(**fields)


def metadata_sizes(container: Container) -> dict[str, int]:
    """Bytes in the file of each kind of metadata present: icc, exif, xmp. Raises CorruptError."""
    sizes = {}
    for chunk_type, (what, field) in _METADATA_CHUNKS.items():
        payload = container.single_payload(chunk_type, what)
        if payload is not None:
            sizes[field] = len(payload)
    return sizes


def alpha_blocks(container: Container) -> Sequence[bytes]:
    """Payloads of alpha, one for each block of the picture, or none. Raises CorruptError."""
    return _block_payloads(container, schema.CHUNK_ALPHA, "alpha")


def cell_blocks(container: Container) -> Sequence[bytes]:
    """Payloads of lossless cells, one for each block of the picture, or none. Raises CorruptError."""
    payloads = _block_payloads(container, schema.CHUNK_CELLS, "lossless cells")
    if payloads and container.header.method == schema.METHOD_LOSSLESS:
        raise CorruptError("damaged: lossless cells where all is stored without loss")
    return payloads


def _block_payloads(container: Container, chunk_type: int, what: str) -> Sequence[bytes]:
    chunks = [chunk for chunk in container.chunks if chunk.type == chunk_type]
    blocks = container.header.block_count
    if len(chunks) not in (0, blocks):
        raise CorruptError(
            f"damaged: {what} of {len(chunks)} blocks where the picture has {blocks}"
        )
    return LazyPayloads(chunks, bytes)


def _pack(content: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, _RAW_DEFLATE, 9)
    deflated = packer.compress(content) + packer.flush()
    if len(deflated) < len(content):
        return bytes([_DEFLATED]) + deflated
    return bytes([_PLAIN]) + content


def _unpack(payload: bytes, what: str, limit: int) -> bytes:
    packing, content = payload[:1], payload[1:]
    if packing == bytes([_PLAIN]):
        unpacked = content
    elif packing == bytes([_DEFLATED]):
        unpacked = _inflate(content, what, limit)
    else:
        raise CorruptError(f"damaged: {what} packed in an unknown way")
    if len(unpacked) > limit:
        raise LimitError(f"more than {limit} bytes of {what}, which is over the limit")
    return unpacked


def _inflate(content: bytes, what: str, limit: int) -> bytes:
    """The content, cut off one byte behind ``limit``, so that a bomb is not unpacked to its end."""
    unpacker = zlib.decompressobj(_RAW_DEFLATE)
    try:
        unpacked = unpacker.decompress(content, limit + 1)
    except zlib.error as error:
        raise CorruptError(f"damaged: {what} cannot be unpacked") from error
    if len(unpacked) <= limit and (not unpacker.eof or unpacker.unused_data):
        raise CorruptError(f"damaged: {what} cannot be unpacked")
    return unpacked
