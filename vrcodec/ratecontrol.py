"""Finding the rate that meets a target: bytes, bits per pixel or PSNR.

The analysis runs once; each probe repeats only what the rate changes. Bytes and PSNR rise with the rate
code, so bisection over the 16 bits of the code finds the best that still meets the target.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from vrcodec.bench.metrics import psnr
from vrcodec.codec import Decoder, Encoder
from vrcodec.errors import TargetError
from vrcodec.picture import Picture
from vrcodec.rate import RATE_CODE_MAX


@dataclass(frozen=True)
class Target:
    """``size``: at most so many bytes. ``bpp``: at most so many bits a pixel. ``psnr``: at least so many dB."""

    kind: Literal["size", "bpp", "psnr"]
    value: float

    def max_bytes(self, picture: Picture) -> float:
        """The limit on the file's size; infinite for a PSNR target."""
        if self.kind == "size":
            return self.value
        if self.kind == "bpp":
            return self.value * picture.width * picture.height / 8
        return float("inf")


def encode_to_target(
    encoder: Encoder, decoder: Decoder, picture: Picture, target: Target
) -> tuple[bytes, int]:
    """The file that meets ``target``, and its rate code.

    For a size: the largest file within it. For a PSNR: the smallest file that reaches it. Raises
    TargetError when no rate does.
    """
    latents = encoder.analyse(picture)
    files: dict[int, bytes] = {}

    def encoded(code: int) -> bytes:
        if code not in files:
            files[code] = encoder.encode(picture, code, latents)
        return files[code]

    if target.kind == "psnr":

        def reaches(code: int) -> bool:
            decoded = decoder.decode(encoded(code))
            return psnr(decoded.to_array(), picture.to_array()) >= target.value

        if not reaches(RATE_CODE_MAX):
            raise TargetError(f"no rate reaches {target.value:g} dB on this picture; ask for less")
        code = _first(reaches)
        return encoded(code), code

    limit = target.max_bytes(picture)
    if len(encoded(0)) > limit:
        raise TargetError(
            f"the smallest file for this picture has {len(encoded(0))} bytes, and the target "
            f"allows {int(limit)}; ask for more or make the picture smaller"
        )
    code = _first(lambda c: len(encoded(c)) > limit) - 1
    return encoded(code), code


def _first(holds: Callable[[int], bool]) -> int:
    """The smallest code for which ``holds`` is true, for a predicate that changes once.

    One past the last code when it never is.
    """
    low, high = 0, RATE_CODE_MAX + 1
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low
