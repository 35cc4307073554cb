"""Structure-aware mutations: one part of a file is made wrong, and the checksums around it are made right."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

from tests.fuzz.container_mutations import (
    chunk_length,
    chunk_order,
    chunk_type,
    header_byte,
    header_length,
    header_method,
    header_size,
    payload,
    payload_filled,
    payload_front,
    seal,
)
from tests.fuzz.payload_mutations import (
    cells,
    metadata,
    progressive,
    quality_map,
    samples,
    setting,
    stream,
)
from tests.fuzz.scratches import scratched
from tests.fuzz.sketch import Sketch, take_apart

Mutation = Callable[[Sketch, random.Random], None]


def mutate(data: bytes, rng: random.Random, others: Sequence[bytes] = ()) -> bytes:
    """``data`` with one to three things wrong. ``others``: files whose parts may be mixed in."""
    sketch = take_apart(data)
    if sketch is None:
        return scratched(data, rng)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        if others and rng.random() < 0.05:
            _graft(sketch, rng, rng.choice(others))
        else:
            rng.choice(MUTATIONS)(sketch, rng)
    mutant = sketch.build()
    # Damage that the checksums of the container must find.
    return scratched(mutant, rng) if rng.random() < 0.03 else mutant


def _graft(sketch: Sketch, rng: random.Random, other: bytes) -> None:
    """Something of another file: a chunk, all its chunks, or its header."""
    donor = take_apart(other)
    if donor is None or not donor.parts:
        return
    kind = rng.randrange(3)
    if kind == 0:
        sketch.parts.insert(rng.randrange(len(sketch.parts) + 1), replace(rng.choice(donor.parts)))
    elif kind == 1:
        sketch.parts = [replace(part) for part in donor.parts]
    else:
        sketch.body = donor.body


MUTATIONS: tuple[Mutation, ...] = (
    header_byte,
    header_size,
    header_method,
    header_length,
    chunk_order,
    chunk_type,
    chunk_length,
    seal,
    payload,
    payload_front,
    payload_filled,
    stream,
    stream,
    progressive,
    progressive,
    setting,
    quality_map,
    samples,
    samples,
    cells,
    metadata,
)
