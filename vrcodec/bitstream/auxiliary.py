"""What stands in a file in front of the picture itself: metadata, and the number of blocks of alpha.

Without numpy, so that `vrcodec info` starts at once; the blocks themselves are for `vrcodec.lossless.blocks`.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from vrcodec.bitstream import schema
from vrcodec.bitstream.container import ByChunk, Chunk, Container
from vrcodec.errors import CorruptError, LimitError
from vrcodec.limits import DEFAULT_LIMITS, Limits
from vrcodec.picture.metadata import Metadata

# Type of chunk -> what it holds, and the name of that in `Metadata`.
_KINDS = {
    schema.CHUNK_ICC: ("ICC profile", "icc"),
    schema.CHUNK_EXIF: ("EXIF data", "exif"),
    schema.CHUNK_XMP: ("XMP data", "xmp"),
}
_PLAIN, _DEFLATED = 0, 1
# Raw deflate: the chunk has a checksum of its own.
_WINDOW = -15


def metadata_chunks(metadata: Metadata, limits: Limits = DEFAULT_LIMITS) -> list[Chunk]:
    """The chunks of ``metadata``. Raises LimitError for more than a reader would take."""
    found = []
    for number, (what, name) in _KINDS.items():
        content = getattr(metadata, name)
        if not content:
            continue
        if len(content) > limits.max_metadata_bytes:
            raise LimitError(
                f"{len(content)} bytes of {what} are over the limit of {limits.max_metadata_bytes}; strip them"
            )
        found.append(Chunk(number, _packed(content)))
    return found


def metadata_of(container: Container, limits: Limits = DEFAULT_LIMITS) -> Metadata:
    """Inverse of `metadata_chunks`. Raises CorruptError or LimitError."""
    found = {}
    for number, (what, name) in _KINDS.items():
        payload = container.only(number, what)
        if payload is not None:
            found[name] = _unpacked(payload, what, limits.max_metadata_bytes)
    return Metadata(**found)


def metadata_sizes(container: Container) -> dict[str, int]:
    """Bytes in the file of each kind of metadata that there is: icc, exif, xmp. Raises CorruptError."""
    sizes = {}
    for number, (what, name) in _KINDS.items():
        payload = container.only(number, what)
        if payload is not None:
            sizes[name] = len(payload)
    return sizes


def alpha_blocks(container: Container, blocks: int) -> Sequence[bytes]:
    """ByChunk of alpha, one for each of so many ``blocks``, or none. Raises CorruptError."""
    chunks = [chunk for chunk in container.chunks if chunk.type == schema.CHUNK_ALPHA]
    if len(chunks) not in (0, blocks):
        raise CorruptError(f"damaged: alpha of {len(chunks)} blocks where the picture has {blocks}")
    return ByChunk(chunks, bytes)


def _packed(content: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, _WINDOW, 9)
    deflated = packer.compress(content) + packer.flush()
    if len(deflated) < len(content):
        return bytes([_DEFLATED]) + deflated
    return bytes([_PLAIN]) + content


def _unpacked(payload: bytes, what: str, limit: int) -> bytes:
    kind, content = payload[:1], payload[1:]
    if kind == bytes([_PLAIN]):
        unpacked = content
    elif kind == bytes([_DEFLATED]):
        unpacked = _inflated(content, what, limit)
    else:
        raise CorruptError(f"damaged: {what} packed in an unknown way")
    if len(unpacked) > limit:
        raise LimitError(f"more than {limit} bytes of {what}, which is over the limit")
    return unpacked


def _inflated(content: bytes, what: str, limit: int) -> bytes:
    """At most one byte more than ``limit``: what would be larger is not unpacked to its end."""
    unpacker = zlib.decompressobj(_WINDOW)
    try:
        unpacked = unpacker.decompress(content, limit + 1)
    except zlib.error as error:
        raise CorruptError(f"damaged: {what} cannot be unpacked") from error
    if len(unpacked) <= limit and (not unpacker.eof or unpacker.unused_data):
        raise CorruptError(f"damaged: {what} cannot be unpacked")
    return unpacked
