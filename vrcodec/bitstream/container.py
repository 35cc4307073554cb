"""Reading and writing .vrc files: header, chunks, checksums.

The parser trusts nothing: it reads a fixed prefix, compares every length with what is left, and checks
every checksum before the content is used. It allocates nothing that is not in the file. Structure only:
neither numpy nor torch is needed, so that `vrcodec info` starts at once.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar, overload

from construct import Construct, ConstructError

from vrcodec.bitstream import schema
from vrcodec.bitstream.schema import VARINT_MAX_BYTES, read_varint
from vrcodec.bitstream.source import FileSource, Source
from vrcodec.errors import CorruptError, FormatError, LimitError
from vrcodec.limits import DEFAULT_LIMITS, Limits
from vrcodec.regions.grid import LatentGrid

_CHECKSUM_BYTES = 4
# Besides those of blocks: metadata, and chunks that later versions add.
_OTHER_CHUNKS = 256

Content = TypeVar("Content")


@dataclass(frozen=True)
class Header:
    """The header of a file: which model, and the size, mode and rate of the picture.

    ``method``: number of the model family. ``weights_id``: first 8 bytes of the weights' SHA-256.
    ``mode``: `schema.MODE_GREY`, `MODE_RGB` or `MODE_BILEVEL`. ``rate_code``: 16-bit code of r.
    """

    method: int
    weights_id: bytes
    width: int
    height: int
    mode: int
    rate_code: int
    version: tuple[int, int] = (schema.VERSION_MAJOR, schema.VERSION_MINOR)

    @property
    def block_count(self) -> int:
        """How many blocks the latent grid of the picture has."""
        return LatentGrid.of_picture(self.width, self.height).block_count


@dataclass(frozen=True)
class Chunk:
    """A typed payload. ``offset``: of its first byte in the file.

    ``complete``: its checksum has been verified; else the file ends inside it.
    """

    type: int
    payload: bytes
    offset: int = 0
    complete: bool = True

    @property
    def size(self) -> int:
        """Bytes of the payload."""
        return len(self.payload)

    @property
    def ancillary(self) -> bool:
        """Whether a reader that does not know the type may skip it."""
        return self.type >= schema.FIRST_ANCILLARY


class LazyChunk(Chunk):
    """A chunk whose payload is read and verified at first access, which may raise CorruptError."""

    _source: FileSource
    _start: int
    _size: int

    def __init__(
        self, chunk_type: int, source: FileSource, start: int, offset: int, size: int
    ) -> None:
        # The dataclass is frozen, and its own __init__ would want the payload.
        self.__dict__.update(type=chunk_type, offset=offset, complete=True)
        self.__dict__.update(_source=source, _start=start, _size=size)

    @property
    def size(self) -> int:
        return self._size

    @cached_property
    def payload(self) -> bytes:  # type: ignore[override]
        """The payload, once its checksum has been verified."""
        end = self.offset + self._size + _CHECKSUM_BYTES
        content = self._source[self._start : end]
        _verify_checksum(memoryview(content)[:-_CHECKSUM_BYTES], content, self._start, "chunk")
        return content[self.offset - self._start : -_CHECKSUM_BYTES]


class LazyPayloads(Sequence[Content]):
    """``read`` applied to the payload of each of ``chunks``, at access and anew each time."""

    def __init__(self, chunks: Sequence[Chunk], read: Callable[[bytes], Content]) -> None:
        self._chunks, self._read = chunks, read

    def __len__(self) -> int:
        return len(self._chunks)

    @overload
    def __getitem__(self, index: int) -> Content: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Content]: ...
    def __getitem__(self, index: int | slice) -> Content | Sequence[Content]:
        if isinstance(index, slice):
            return LazyPayloads(self._chunks[index], self._read)
        return self._read(self._chunks[index].payload)


@dataclass(frozen=True)
class Container:
    """A parsed file."""

    header: Header
    chunks: Sequence[Chunk]

    @property
    def complete(self) -> bool:
        """Whether no chunk is cut off by an early end of the file."""
        return all(chunk.complete for chunk in self.chunks)

    def latent_chunks(self) -> list[Chunk]:
        """The chunks of the picture itself, in decoding order."""
        return [chunk for chunk in self.chunks if chunk.type in schema.LATENT_CHUNKS]

    def single_payload(self, chunk_type: int, what: str) -> bytes | None:
        """Payload of the one chunk of this type, or None. Raises CorruptError for several."""
        payloads = [chunk.payload for chunk in self.chunks if chunk.type == chunk_type]
        if len(payloads) > 1:
            raise CorruptError(f"damaged: more than one {what}")
        return payloads[0] if payloads else None


def build_container(container: Container) -> bytes:
    """Serialise; the exact inverse of `parse_container`."""
    return b"".join([_build_header(container.header), *map(_build_chunk, container.chunks)])


def build_bound_container(container: Container) -> bytes:
    """Serialise with a binding chunk in front: a checksum over the checksums of the header and all chunks."""
    header = _build_header(container.header)
    chunks = [_build_chunk(chunk) for chunk in container.chunks]
    checksums = b"".join(part[-_CHECKSUM_BYTES:] for part in [header, *chunks])
    binding = Chunk(schema.CHUNK_BINDING, schema.Checksum.build(zlib.crc32(checksums)))
    return b"".join([header, _build_chunk(binding), *chunks])


def _build_header(header: Header) -> bytes:
    body = {
        "method": header.method,
        "weights_id": header.weights_id,
        "width": header.width,
        "height": header.height,
        "mode": header.mode,
        "rate": header.rate_code,
    }
    major, minor = header.version
    return _append_checksum(
        schema.Header.build({"preamble": {"major": major, "minor": minor}, "body": body})
    )


def _build_chunk(chunk: Chunk) -> bytes:
    prefix = schema.ChunkPrefix.build({"type": chunk.type, "length": len(chunk.payload)})
    return _append_checksum(prefix + chunk.payload)


def _append_checksum(data: bytes) -> bytes:
    checksum: bytes = schema.Checksum.build(zlib.crc32(data))
    return data + checksum


def parse_container(
    data: Source, limits: Limits = DEFAULT_LIMITS, *, partial: bool = False
) -> Container:
    """Parse and verify a whole file; with ``partial``, one that may end inside its latents.

    Of a `FileSource`, the chunks of blocks are not read yet, but each, with its checksum, when its payload is
    first accessed.

    Raises FormatError (not a vrc file, or unknown version or critical chunk), CorruptError (damaged or
    truncated) or LimitError.
    """
    reader = _Reader(data)
    header = _parse_header(reader)
    limits.check_picture("picture", header.width, header.height)
    header_end = reader.position
    max_chunks = _max_chunks(header, limits)
    container = Container(header, list(_parse_chunks(reader, limits, max_chunks, partial)))
    if container.complete:
        _check_binding(container, data, header_end)
    return container


def _check_binding(container: Container, data: Source, header_end: int) -> None:
    """Raise CorruptError when the binding chunk does not fit the header and chunks."""
    binding = container.single_payload(schema.CHUNK_BINDING, "checksum over all chunks")
    if binding is None:
        return
    ends = [
        chunk.offset + chunk.size + _CHECKSUM_BYTES
        for chunk in container.chunks
        if chunk.type != schema.CHUNK_BINDING
    ]
    checksums = b"".join(data[end - _CHECKSUM_BYTES : end] for end in [header_end, *ends])
    if binding != schema.Checksum.build(zlib.crc32(checksums)):
        raise CorruptError("damaged: its chunks are not those that were written together")


def _max_chunks(header: Header, limits: Limits) -> int:
    """How many chunks a picture may have: latents, alpha and cells of each block, and some more."""
    return min(limits.max_chunks, 3 * header.block_count + _OTHER_CHUNKS)


def _parse_header(reader: _Reader) -> Header:
    magic = reader.peek(len(schema.MAGIC))
    if not magic or not schema.MAGIC.startswith(magic):
        raise FormatError("not a vrc file")
    start = reader.position
    preamble_bytes = schema.Preamble.sizeof()
    length = reader.peek(preamble_bytes + 1)[preamble_bytes:]
    header = reader.take(preamble_bytes + 1 + (length[0] if length else 0), "header")
    major, minor = header[len(schema.MAGIC)], header[len(schema.MAGIC) + 1]
    if major != schema.VERSION_MAJOR:
        # Before the checksum: another major version may keep it elsewhere.
        raise FormatError(
            f"made with version {major} of the format, and this program reads version "
            f"{schema.VERSION_MAJOR}; use a matching vrcodec"
        )
    reader.verify_checksum(start, "header")
    body = _parse(schema.HeaderBody, _Reader(header[preamble_bytes + 1 :]), "header")
    if body.width < 1 or body.height < 1:
        raise CorruptError("the header names a picture without pixels")
    return Header(
        body.method, body.weights_id, body.width, body.height, body.mode, body.rate, (major, minor)
    )


def _parse_chunks(
    reader: _Reader, limits: Limits, max_chunks: int, partial: bool
) -> Iterable[Chunk]:
    previous_type = 0
    for _ in range(max_chunks):
        if not reader.left:
            return
        start = reader.position
        chunk_type, length = reader.take_prefix()
        if length > limits.max_chunk_bytes:
            raise LimitError(f"a chunk of {length} bytes is over the limit")
        chunk = _parse_payload(reader, start, chunk_type, length, partial)
        if previous_type in schema.LATENT_CHUNKS and chunk.type != previous_type:
            raise CorruptError(f"damaged: a chunk of type {chunk.type} behind the latent streams")
        if chunk.type not in schema.CRITICAL_CHUNKS and not chunk.ancillary:
            raise FormatError(
                f"needs a feature that this version lacks (chunk type {chunk.type}); update vrcodec"
            )
        previous_type = chunk.type
        yield chunk
    if reader.left:
        raise LimitError(f"more than {max_chunks} chunks, which is over the limit for its size")


def _parse_payload(
    reader: _Reader, start: int, chunk_type: int, length: int, partial: bool
) -> Chunk:
    """The rest of the chunk that begins at ``start``. Only latents may be incomplete."""
    offset = reader.position
    if chunk_type == schema.CHUNK_PROGRESSIVE and reader.left < length + _CHECKSUM_BYTES:
        if not partial:
            raise CorruptError(
                f"truncated: the chunk at byte {offset} is incomplete; --partial decodes the levels that are "
                "complete"
            )
        payload = reader.take(reader.left, "chunk")[:length]
        return Chunk(chunk_type, payload, offset, complete=False)
    if chunk_type in schema.BLOCK_CHUNKS and isinstance(reader.data, FileSource):
        reader.skip(length + _CHECKSUM_BYTES, "chunk")
        return LazyChunk(chunk_type, reader.data, start, offset, length)
    payload = reader.take(length, "chunk")
    reader.verify_checksum(start, "chunk")
    return Chunk(chunk_type, payload, offset)


class _Reader:
    """A cursor over bytes that never reads past the end."""

    def __init__(self, data: Source) -> None:
        self.data = data
        self.position = 0

    @property
    def left(self) -> int:
        return len(self.data) - self.position

    def peek(self, count: int) -> bytes:
        return self.data[self.position : self.position + count]

    def take(self, count: int, what: str) -> bytes:
        self.skip(count, what)
        return self.data[self.position - count : self.position]

    def skip(self, count: int, what: str) -> None:
        if count > self.left:
            raise CorruptError(f"truncated: the {what} at byte {self.position} is incomplete")
        self.position += count

    def take_prefix(self) -> tuple[int, int]:
        """Type and length of a chunk. By hand, for speed: a hostile file may have thousands."""
        prefix = self.peek(1 + VARINT_MAX_BYTES)
        try:
            length, size = read_varint(prefix, 1)
        except CorruptError as error:
            raise CorruptError(
                f"truncated: the chunk at byte {self.position} is incomplete"
            ) from error
        self.position += size
        return prefix[0], length

    def verify_checksum(self, start: int, what: str) -> None:
        source = memoryview(self.data) if isinstance(self.data, bytes) else self.data
        content = source[start : self.position]
        _verify_checksum(content, self.take(_CHECKSUM_BYTES, what), start, what)


def _verify_checksum(content: bytes | memoryview, tail: bytes, start: int, what: str) -> None:
    """Raise CorruptError unless ``tail`` ends with the checksum of ``content``."""
    if zlib.crc32(content) != int.from_bytes(tail[-_CHECKSUM_BYTES:], "little"):
        raise CorruptError(f"damaged: the {what} at byte {start} fails its checksum")


def _parse(declaration: Construct, reader: _Reader, what: str):  # type: ignore[no-untyped-def]
    """Parse a small structure at the cursor, from a window that bounds every VarInt."""
    window = io.BytesIO(reader.peek(64))
    try:
        parsed = declaration.parse_stream(window)
    except ConstructError as error:
        raise CorruptError(
            f"truncated: the {what} at byte {reader.position} is incomplete"
        ) from error
    reader.position += window.tell()
    return parsed
