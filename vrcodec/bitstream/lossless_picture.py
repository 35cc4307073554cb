"""Pictures without a model: every sample as it was, for what no model has learnt, and what is smaller so."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vrcodec.bitstream import schema
from vrcodec.bitstream.assembly import assembled, side_chunks
from vrcodec.bitstream.container import Chunk, Header
from vrcodec.bitstream.inspection import MODE_NUMBERS, channels_of
from vrcodec.errors import CorruptError
from vrcodec.lossless.blocks import pack_blocks, viewed_blocks
from vrcodec.lossless.packing import Samples
from vrcodec.picture.picture import Picture
from vrcodec.regions.region import WHOLE, View

_NO_WEIGHTS = bytes(8)


def lossless_file(picture: Picture, sides: Sequence[Chunk] | None = None) -> bytes:
    """The bytes of a file from which ``picture`` comes back exactly, hidden colours and all.

    ``sides``: its `side_chunks`, where they are known. Raises LimitError.
    """
    mode = MODE_NUMBERS[picture.mode]
    header = Header(schema.METHOD_LOSSLESS, _NO_WEIGHTS, picture.width, picture.height, mode, 0)
    own = [Chunk(schema.CHUNK_LOSSLESS, payload) for payload in pack_blocks(picture.colours())]
    return assembled(header, [*(side_chunks(picture) if sides is None else sides), *own])


def lossless_pixels(payloads: Sequence[bytes], header: Header, view: View = WHOLE) -> Samples:
    """(h, w, 3) of a file without a model, all of it or what ``view`` shows. Raises CorruptError."""
    channels = channels_of(header.mode)
    samples = viewed_blocks(payloads, header.width, header.height, channels, view)
    bilevel = header.mode == schema.MODE_BILEVEL and view.scale == 1
    if bilevel and ((samples > 0) & (samples < 255)).any():
        raise CorruptError("damaged: a bilevel picture with grey samples")
    return samples if channels == 3 else np.repeat(samples[:, :, None], 3, axis=2)
