"""The decoder that commands share: torch is loaded when the first file is decoded, not before."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from vrcodec.cli.shared import options
from vrcodec.limits import Limits
from vrcodec.regions.tiling import Tiling

if TYPE_CHECKING:
    from vrcodec.codec import Decoder

    GetDecoder = Callable[[], Decoder]


def lazy_decoder(
    device: str, precision: str, tiling: Tiling, threads: int | None, limits: Limits
) -> GetDecoder:
    """A function that gives a decoder, the same one every time."""
    decoders: list[Decoder] = []

    def get() -> Decoder:
        if not decoders:
            from vrcodec.codec import Decoder, Engine

            options.set_threads(threads)
            decoders.append(Decoder(Engine(device, precision, tiling), limits))
        return decoders[0]

    return get
