"""Blind damage: bytes changed, put in or taken out anywhere."""

from __future__ import annotations

import random

from tests.fuzz.sketch import varint

# Where programs go wrong: around powers of two, and at the ends.
NUMBERS = sorted(
    {0, 1, 2, 3, 127, 128, 255, 256, 65535, 65536}
    | {2**k + d for k in (10, 14, 16, 21, 24, 28, 31, 32, 35, 63, 64) for d in (-1, 0, 1)}
)


def scratched(data: bytes, rng: random.Random) -> bytes:
    """Bytes changed, put in or taken out anywhere."""
    changed = bytearray(data or b"\0")
    for _ in range(rng.choice((1, 1, 2, 4))):
        place = rng.randrange(len(changed) + 1)
        kind = rng.randrange(6)
        if kind == 0:
            changed[place:place] = rng.randbytes(rng.choice((1, 2, 4, 16)))
        elif kind == 1:
            del changed[place : place + rng.choice((1, 2, 4, 16))]
        elif kind == 2:
            del changed[place:]
        elif kind == 3:
            changed[place : place + 4] = varint(rng.choice(NUMBERS))
        elif place < len(changed):
            changed[place] = (
                changed[place] ^ 1 << rng.randrange(8) if kind == 4 else rng.randrange(256)
            )
    return bytes(changed)
