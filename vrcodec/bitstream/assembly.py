"""Assembling a file: header, auxiliary chunks (metadata, alpha, lossless cells), and the picture itself.

Also whole pictures stored without loss and without a model: where a model fails, or the file is smaller so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from weakref import ref

import numpy as np

from vrcodec.bitstream import schema
from vrcodec.bitstream.auxiliary import metadata_chunks
from vrcodec.bitstream.container import (
    Chunk,
    Container,
    Header,
    build_bound_container,
    build_container,
)
from vrcodec.bitstream.inspection import MODE_NUMBERS, channel_count
from vrcodec.errors import CorruptError
from vrcodec.lossless.blocks import pack_blocks, unpack_region
from vrcodec.lossless.cells import pack_cells
from vrcodec.lossless.packing import Samples
from vrcodec.picture.picture import Picture
from vrcodec.regions.region import WHOLE, Region

_NO_WEIGHTS = bytes(8)


def assemble_file(header: Header, chunks: Sequence[Chunk]) -> bytes:
    """The bytes of a file; ``chunks``: all but the binding, which files of several blocks get in addition."""
    header = replace(header, version=(schema.VERSION_MAJOR, _minor_version(header, chunks)))
    build = build_bound_container if header.block_count > 1 else build_container
    return build(Container(header, chunks))


def _minor_version(header: Header, chunks: Sequence[Chunk]) -> int:
    """The lowest that has the method and all chunks."""
    of_chunks = [schema.CHUNK_MINOR_VERSIONS.get(c.type, schema.VERSION_MINOR) for c in chunks]
    return max(schema.METHOD_MINOR_VERSIONS.get(header.method, schema.VERSION_MINOR), *of_chunks)


def auxiliary_chunks(picture: Picture) -> list[Chunk]:
    """The chunks in front of the picture itself: metadata, alpha and lossless cells. Raises LimitError."""
    alpha = [] if picture.alpha is None else pack_blocks(picture.alpha)
    cells = picture.lossless_cells
    payloads = [] if cells is None else pack_cells(picture.colours(), cells)
    return [
        *metadata_chunks(picture.metadata),
        *(Chunk(schema.CHUNK_ALPHA, payload) for payload in alpha),
        *(Chunk(schema.CHUNK_CELLS, payload) for payload in payloads),
    ]


class AuxiliaryChunkCache:
    """The `auxiliary_chunks` of the last picture, which a search packs many times.

    What they are made from is held by weak references, so the picture is not kept alive. Threads may share it:
    each gets the chunks of its own picture.
    """

    def __init__(self) -> None:
        # Sources and chunks in one attribute, so that no thread sees those of different pictures.
        self._last: tuple[list[_WeakReference], list[Chunk]] = [], []

    def chunks(self, picture: Picture) -> list[Chunk]:
        """The chunks of ``picture``, or of another one with the same alpha, metadata and lossless cells."""
        sources = picture.alpha, picture.metadata, picture.lossless_cells
        known, chunks = self._last
        pairs = zip(known, sources, strict=False)
        if not known or not all(last.refers_to(source) for last, source in pairs):
            chunks = auxiliary_chunks(picture)
            self._last = [_WeakReference(source) for source in sources], chunks
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


def encode_lossless(picture: Picture, auxiliary: Sequence[Chunk] | None = None) -> bytes:
    """The bytes of a file from which ``picture`` comes back exactly, with the colours of transparent pixels.

    ``auxiliary``: its `auxiliary_chunks`, where they are already made. Raises LimitError.
    """
    mode = MODE_NUMBERS[picture.mode]
    header = Header(schema.METHOD_LOSSLESS, _NO_WEIGHTS, picture.width, picture.height, mode, 0)
    blocks = [Chunk(schema.CHUNK_LOSSLESS, payload) for payload in pack_blocks(picture.colours())]
    if auxiliary is None:
        auxiliary = auxiliary_chunks(picture)
    return assemble_file(header, [*auxiliary, *blocks])


def decode_lossless(payloads: Sequence[bytes], header: Header, region: Region = WHOLE) -> Samples:
    """Samples (h, w, 3) of a file without a model, all of it or what ``region`` shows. Raises CorruptError."""
    channels = channel_count(header.mode)
    samples = unpack_region(payloads, header.width, header.height, channels, region)
    bilevel = header.mode == schema.MODE_BILEVEL and region.scale == 1
    if bilevel and ((samples > 0) & (samples < 255)).any():
        raise CorruptError("damaged: a bilevel picture with grey samples")
    return samples if channels == 3 else np.repeat(samples[:, :, None], 3, axis=2)
