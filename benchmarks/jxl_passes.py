"""JPEG XL files in passes, and what there is of one that ends early, by the tools `cjxl` and `djxl` of libjxl.

Version 0.7 of `cjxl` takes ``--progressive``, but writes the same bytes as without it; 0.11 writes passes.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

_LEAST_DISTANCE, _GREATEST_DISTANCE, _SEARCH_STEPS = 0.1, 25.0, 12

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class JxlTools:
    """``version``: of `cjxl`, such as "v0.11.2"."""

    version: str

    def encode_within(self, pixels: Pixels, limit: int) -> bytes:
        """The best file of ``pixels``, (h, w, 3), with at most ``limit`` bytes; else the smallest.

        Bisects the logarithm of the Butteraugli distance.
        """
        with _scratch() as (source, result):
            Image.fromarray(pixels).save(source)

            def encode(distance: float) -> bytes:
                _run("cjxl", source, result, f"--distance={distance:.4f}", "--progressive")
                return result.read_bytes()

            best = encode(_GREATEST_DISTANCE)
            low, high = np.log([_LEAST_DISTANCE, _GREATEST_DISTANCE])
            for _ in range(_SEARCH_STEPS):
                middle = (low + high) / 2
                data = encode(float(np.exp(middle)))
                if len(data) <= limit:
                    best, high = data, middle
                else:
                    low = middle
            return best

    def decode_start(self, data: bytes) -> Pixels | None:
        """What there is of a file that ends early, (h, w, 3); None, while there is nothing to show."""
        with _scratch() as (result, source):
            source.write_bytes(data)
            try:
                _run("djxl", source, result, "--allow_partial_files")
            except subprocess.CalledProcessError:
                return None
            with Image.open(result) as image:
                return np.asarray(image.convert("RGB"))


def find_jxl_tools() -> JxlTools | None:
    """The tools, where both are on the path."""
    if not (shutil.which("cjxl") and shutil.which("djxl")):
        return None
    return JxlTools(_run("cjxl", "--version").split()[1])


@contextmanager
def _scratch() -> Iterator[tuple[Path, Path]]:
    """Names for a picture and a JPEG XL file, in a folder that goes away."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder, "picture.ppm"), Path(folder, "file.jxl")


def _run(*command: str | Path) -> str:
    """Its output. Raises CalledProcessError."""
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout
