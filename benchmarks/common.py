"""What the scripts share: a picture, medians, the machine's own rates, blocks of documents."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import skimage.data
import torch

from vrcodec.catalog import find_by_family
from vrcodec.picture.picture import Picture

REPEATS = 15
# Large enough for the matrix units, small enough for the cache.
_SIDE = 2048
_COPY_BYTES = 1 << 28


def photograph(width: int = 768, height: int = 512) -> Picture:
    """A photograph that scikit-image carries, repeated and cut to size."""
    tile = skimage.data.astronaut()
    down, across = -(-height // tile.shape[0]), -(-width // tile.shape[1])
    return Picture.from_array(np.tile(tile, (down, across, 1))[:height, :width].copy())


def median(work: Callable[[], object], repeats: int = REPEATS, unmeasured: int = 2) -> float:
    """Median duration of ``work`` in seconds, after ``unmeasured`` calls."""
    durations = []
    for _ in range(unmeasured + repeats):
        start = time.perf_counter()
        work()
        durations.append(time.perf_counter() - start)
    return statistics.median(durations[unmeasured:])


def multiply_rates() -> dict[torch.dtype, float]:
    """Operations per second (a multiplication and an addition are two) of a plain matrix product."""
    rates = {}
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        a = torch.randn(_SIDE, _SIDE, dtype=torch.float64).to(dtype)
        rates[dtype] = 2 * _SIDE**3 / median(lambda a=a: a @ a, 7)
    return rates


def fill_in(document: Path, family: str, blocks: Mapping[str, str]) -> None:
    """Put ``blocks`` between their marks in ``document``, and name the weights that they are about."""
    weights = find_by_family(family).id.hex()
    text = re.sub(r"weights `[0-9a-f]{16}`", f"weights `{weights}`", document.read_text())
    document.write_text(with_blocks(text, blocks))


def with_blocks(text: str, blocks: Mapping[str, str]) -> str:
    """``text`` with ``blocks`` between their marks; shows them, too."""
    for name, block in blocks.items():
        start, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        before, _, rest = text.partition(start)
        text = f"{before}{start}{block}\n{end}{rest.partition(end)[2]}"
        print(block)
    return text
