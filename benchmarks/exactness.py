"""Measure the numerical noise that the guard band has to absorb, and how often it is needed.

    python -m benchmarks.exactness gained /path/to/kodak

Computes the table indices of every picture under several kernels (memory layouts, one thread, without
oneDNN, in tiles, sums in another order, NumPy), in float64 and in float32, and counts the indices that differ;
and counts the ties in files at eleven rates.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from vrcodec.bench.kernels import table_indices
from vrcodec.bitstream.guard_band import GUARD, round_to_table
from vrcodec.bitstream.tables import SCALE_COUNT
from vrcodec.catalog import find_by_family
from vrcodec.models import GuardedModel
from vrcodec.models.base import Latents
from vrcodec.models.device import torch_backend
from vrcodec.models.place import NUMPY_BACKEND, Backend
from vrcodec.models.weights import load_model
from vrcodec.picture.folders import read_folder
from vrcodec.rate import RATE_CODE_MAX


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("family")
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    pictures = read_folder(arguments.folder)
    ties = values = 0
    noise = {"float64": 0.0, "float32": 0.0}
    flips = dict.fromkeys(noise, 0)
    for dtype in noise:
        model = _model(arguments.family, torch_backend(exact_type=dtype))
        twin = _model(arguments.family, replace(NUMPY_BACKEND, exact_type=dtype))
        for picture in pictures.values():
            latents = model.analyse(picture.pixels)
            rate = model.rate_parameters(RATE_CODE_MAX // 2)
            reference, *others = table_indices(model, latents, rate, twin).values()
            expected = round_to_table(reference, SCALE_COUNT)
            for t in others:
                noise[dtype] = max(noise[dtype], float(np.abs(t - reference).max()))
                flips[dtype] += int((round_to_table(t, SCALE_COUNT) != expected).sum())
            if dtype == "float64":
                values += reference.size
                ties += _ties(model, latents)
    report = {
        "pictures": len(pictures),
        "table_indices_per_rate": values,
        "guard": GUARD,
        "largest_difference": noise,
        "indices_flipped_under_other_kernels": flips,
        "ties_at_eleven_rates": ties,
    }
    print(json.dumps(report, indent=1))


def _model(family: str, backend: Backend) -> GuardedModel:
    model = load_model(find_by_family(family), backend)
    assert isinstance(model, GuardedModel)
    return model


def _ties(model: GuardedModel, latents: Latents) -> int:
    """Ties of a picture at eleven rates together."""
    states = [model.rate_parameters(step * RATE_CODE_MAX // 10) for step in range(11)]
    return sum(len(stream.ties) for state in states for stream in model.compress(latents, state))


if __name__ == "__main__":
    main()
