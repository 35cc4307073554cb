"""The decoder that commands share: torch is loaded when the first file is decoded, not before."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from vrcodec.cli import options
from vrcodec.limits import Limits

if TYPE_CHECKING:
    from vrcodec.codec import Decoder
    from vrcodec.picture import Picture

    Decode = Callable[[bytes], Picture]


def lazy_decoder(device: str, precision: str, threads: int | None, limits: Limits) -> Decode:
    """A function from the bytes of a .vrc file to its picture, which keeps its models."""
    decoders: list[Decoder] = []

    def decode(data: bytes) -> Picture:
        if not decoders:
            from vrcodec.codec import Decoder, Engine

            options.set_threads(threads)
            decoders.append(Decoder(Engine(device, precision), limits))
        return decoders[0].decode(data)

    return decode
