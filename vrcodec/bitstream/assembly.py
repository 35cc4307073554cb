"""Assembling a file: header, auxiliary chunks (metadata and alpha), and the chunks of the picture itself."""

from __future__ import annotations

from collections.abc import Sequence
from weakref import ref

from vrcodec.bitstream import schema
from vrcodec.bitstream.auxiliary import metadata_chunks
from vrcodec.bitstream.container import (
    Chunk,
    Container,
    Header,
    build_bound_container,
    build_container,
)
from vrcodec.lossless.blocks import pack_blocks
from vrcodec.picture.picture import Picture


def assemble_file(header: Header, chunks: Sequence[Chunk]) -> bytes:
    """The bytes of a file; ``chunks``: all but the binding, which files of several blocks get in addition."""
    build = build_bound_container if header.block_count > 1 else build_container
    return build(Container(header, chunks))


def auxiliary_chunks(picture: Picture) -> list[Chunk]:
    """The chunks in front of the picture itself: metadata and alpha. Raises LimitError."""
    alpha = [] if picture.alpha is None else pack_blocks(picture.alpha)
    return [
        *metadata_chunks(picture.metadata),
        *(Chunk(schema.CHUNK_ALPHA, payload) for payload in alpha),
    ]


class AuxiliaryChunkCache:
    """The `auxiliary_chunks` of the last picture, which a search packs many times.

    Alpha and metadata are held by weak references, so the picture is not kept alive.
    """

    def __init__(self) -> None:
        self._last: tuple[_WeakReference, _WeakReference, list[Chunk]] | None = None

    def chunks(self, picture: Picture) -> list[Chunk]:
        """The chunks of ``picture``, or of another one with the same alpha and metadata."""
        last = self._last
        if last and last[0].refers_to(picture.alpha) and last[1].refers_to(picture.metadata):
            return last[2]
        chunks = auxiliary_chunks(picture)
        self._last = _WeakReference(picture.alpha), _WeakReference(picture.metadata), chunks
        return chunks


class _WeakReference:
    """A weak reference, also to None; a dead one does not count as None."""

    def __init__(self, value: object) -> None:
        self._reference = None if value is None else ref(value)

    def refers_to(self, value: object) -> bool:
        """Whether it refers to ``value`` itself, not just to an equal object."""
        if value is None or self._reference is None:
            return value is self._reference
        return self._reference() is value
