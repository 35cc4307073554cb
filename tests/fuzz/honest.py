"""Files as the program writes them: what mutations begin with.

    python -m tests.fuzz.honest

makes those that are kept in `corpus/` beside the golden ones, with the tiny models of these. They need not
be made again: what matters is that they decode.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tests.conftest import GOLDEN, random_map
from vrcodec.bitstream.assembly import encode_lossless
from vrcodec.bitstream.rate_setting import RateSetting
from vrcodec.codec import Encoder
from vrcodec.engine import Engine
from vrcodec.picture.metadata import Metadata
from vrcodec.picture.picture import Picture

CORPUS = Path(__file__).parent / "corpus"
_HONEST = "honest-"


def honest_files() -> dict[str, bytes]:
    """Name -> content: the golden files and those of the corpus."""
    found = {_golden_name(path): path.read_bytes() for path in _golden()}
    for path in sorted(CORPUS.glob(f"{_HONEST}*.vrc")):
        found[path.stem.removeprefix(_HONEST)] = path.read_bytes()
    return found


def corpus() -> list[bytes]:
    """Everything that is kept: honest files, and others that lead to places where those do not."""
    return [path.read_bytes() for path in (*_golden(), *sorted(CORPUS.iterdir()))]


def _golden() -> list[Path]:
    return sorted(GOLDEN.rglob("*.vrc"))


def _golden_name(path: Path) -> str:
    return "-".join(path.relative_to(GOLDEN).with_suffix("").parts)


def make() -> Iterator[tuple[str, bytes]]:
    """Every family with what the golden files lack: a bin size, a width, a map, blocks of one size."""
    for family in ("gained", "qvrf", "qmap", "slim", "qarv"):
        encoder = Encoder(family, Engine("cpu", "float32"))
        wide = _picture(2060, 5)
        yield f"{family}-blocks", encoder.encode(wide, _setting(family, wide, 12000))
        small = _picture(33, 40)
        yield f"{family}-low", encoder.encode(small, _setting(family, small, 0))
    yield from make_sides()
    qvrf = Encoder("qvrf", Engine("cpu", "float32"))
    yield "qvrf-bins", qvrf.encode(_picture(60, 50), qvrf.bin_setting(2.5))
    slim = Encoder("slim", Engine("cpu", "float32"))
    for width in (8, 24):
        yield f"slim-width{width}", slim.encode(_picture(60, 50), RateSetting(9000, width=width))


def make_sides() -> Iterator[tuple[str, bytes]]:
    """What stands beside latents, or in their place: alpha, metadata, samples without a model."""
    encoder = Encoder("gained", Engine("cpu", "float32"))
    small, wide = _picture(30, 21), _picture(2060, 5)
    metadata = Metadata(
        icc=b"profile " * 40, exif=b"MM\0*\0\0\0\x08\0\0\0\0\0\0", xmp=b"<x:xmpmeta/>"
    )
    pictures = {
        "alpha": replace(small, alpha=_alpha(small)),
        "alpha-blocks": replace(wide, alpha=_alpha(wide)),
        "metadata": replace(small, metadata=metadata),
        "everything": replace(small, alpha=_alpha(small), metadata=metadata),
    }
    cells = np.indices((2, 2)).sum(axis=0) == 1
    yield "cells", encoder.encode(replace(small, lossless_cells=cells), 20000)
    for name, picture in pictures.items():
        yield name, encoder.encode(picture, 20000)
        yield f"lossless-{name}", encode_lossless(picture)
    grey = Picture.from_array(small.pixels[:, :, 0].copy())
    yield "lossless-grey", encode_lossless(grey)
    yield "lossless-bilevel", encode_lossless(Picture(grey.pixels // 128 * 255, "1"))
    yield "lossless-noise", encode_lossless(_noise(12, 9))


def _alpha(picture: Picture) -> npt.NDArray[np.uint8]:
    """Opaque in the middle, transparent at the border, and steps between."""
    rows, columns = np.mgrid[: picture.height, : picture.width]
    edge = np.minimum(rows, columns)
    return (edge * 40).clip(0, 255).astype(np.uint8)


def _noise(width: int, height: int) -> Picture:
    rng = np.random.default_rng(5)
    return Picture.from_array(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def _setting(family: str, picture: Picture, code: int) -> RateSetting:
    return RateSetting(code, qmap=random_map(picture) if family == "qmap" else None)


def _picture(width: int, height: int, seed: int = 3) -> Picture:
    """Smooth waves with some noise."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    waves = np.stack([np.sin(rows / 9 + c) + np.cos(columns / (7 + c)) for c in range(3)], axis=2)
    noisy = 128 + 50 * waves + rng.normal(0, 6, waves.shape)
    return Picture.from_array(noisy.clip(0, 255).astype(np.uint8))


def keep() -> None:
    """Write what `make` gives into the corpus."""
    os.environ["VRCODEC_WEIGHTS"] = str(GOLDEN)
    for name, data in make():
        (CORPUS / f"{_HONEST}{name}.vrc").write_bytes(data)


if __name__ == "__main__":
    keep()
