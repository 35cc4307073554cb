"""Pictures stored without loss and without a model: where a model fails, or the file is smaller so."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vrcodec.bitstream import schema
from vrcodec.bitstream.assembly import assemble_file, auxiliary_chunks
from vrcodec.bitstream.container import Chunk, Header
from vrcodec.bitstream.inspection import MODE_NUMBERS, channel_count
from vrcodec.errors import CorruptError
from vrcodec.lossless.blocks import pack_blocks, unpack_region
from vrcodec.lossless.packing import Samples
from vrcodec.picture.picture import Picture
from vrcodec.regions.region import WHOLE, Region

_NO_WEIGHTS = bytes(8)


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
