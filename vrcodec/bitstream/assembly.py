"""Files from their parts: header, what stands beside the picture, and the picture itself."""

from __future__ import annotations

from collections.abc import Sequence
from weakref import ref

from vrcodec.bitstream import schema
from vrcodec.bitstream.auxiliary import metadata_chunks
from vrcodec.bitstream.container import Chunk, Container, Header, build_bound, build_container
from vrcodec.lossless.blocks import pack_blocks
from vrcodec.picture.picture import Picture
from vrcodec.regions.grid import LatentGrid


def assembled(header: Header, chunks: Sequence[Chunk]) -> bytes:
    """The bytes of a file; ``chunks`` are all but the one that binds those of several blocks together."""
    several = LatentGrid.of_picture(header.width, header.height).block_count > 1
    return (build_bound if several else build_container)(Container(header, chunks))


def side_chunks(picture: Picture) -> list[Chunk]:
    """What stands in front of the picture itself: metadata and alpha. Raises LimitError."""
    alpha = [] if picture.alpha is None else pack_blocks(picture.alpha)
    return [
        *metadata_chunks(picture.metadata),
        *(Chunk(schema.CHUNK_ALPHA, payload) for payload in alpha),
    ]


class Sides:
    """`side_chunks`, remembered for one picture, which a search packs many times; it is not kept alive."""

    def __init__(self) -> None:
        self._last: tuple[_Reference, _Reference, list[Chunk]] | None = None

    def of(self, picture: Picture) -> list[Chunk]:
        """The chunks of ``picture``, or of another one with the same alpha and metadata."""
        last = self._last
        if last and last[0].names(picture.alpha) and last[1].names(picture.metadata):
            return last[2]
        chunks = side_chunks(picture)
        self._last = _Reference(picture.alpha), _Reference(picture.metadata), chunks
        return chunks


class _Reference:
    """A weak reference, also to None; what is gone is not None."""

    def __init__(self, value: object) -> None:
        self._found = None if value is None else ref(value)

    def names(self, value: object) -> bool:
        """Whether it is the very ``value``."""
        if value is None or self._found is None:
            return value is self._found
        return self._found() is value
