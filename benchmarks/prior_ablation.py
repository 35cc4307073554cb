"""Ablation of the activity prior of `slim`: bytes on Kodak as parts of its context are added.

    python -m benchmarks.prior_ablation /path/to/kodak PHOTOGRAPHS

Fits the prior of the committed weights anew, to crops of PHOTOGRAPHS: by channel alone (a factorized prior),
with classes of activity, and with the prediction of the first channels as well.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from vrcodec.bench.summary import markdown
from vrcodec.codec import Encoder
from vrcodec.models.coding.activity import ActivityPrior
from vrcodec.models.families.slim import Slim
from vrcodec.picture.folders import find_pictures, read_folder
from vrcodec.rate import code_from_rate
from vrcodec.training import activity_fit
from vrcodec.training.data import load_pictures

RATES = (0.05, 0.25, 0.5, 0.75, 0.95)
CROPS = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("kodak", type=Path)
    parser.add_argument("photographs", type=Path)
    arguments = parser.parse_args()
    kodak = [picture.pixels for picture in read_folder(arguments.kodak).values()]
    photographs = load_pictures(find_pictures((arguments.photographs,)), print)
    rows = []
    model = Encoder("slim").model
    assert isinstance(model, Slim)
    for width in (model.size.widths[0], model.size.widths[-1]):
        baseline: np.ndarray | None = None
        for name, kept in (("channels", set()), ("classes", {"_fit_bounds"}), ("all", _FITS)):
            sizes = fitted_sizes(model, width, photographs, kodak, kept)
            baseline = sizes if baseline is None else baseline
            cells = [f"{change:+.1%}" for change in sizes / baseline - 1]
            rows.append([str(width), name, *cells])
    print(markdown((["width", "prior knows", *map(str, RATES)], rows)))


def _one_class(prior: ActivityPrior, _: object) -> None:
    prior.bounds.fill_(torch.iinfo(torch.int32).max)


def _no_prediction(prior: ActivityPrior, _: object) -> None:
    prior.weights.zero_()


# Parts of the fit, and their replacements.
_REPLACEMENTS = {"_fit_bounds": _one_class, "_fit_weights": _no_prediction}
_FITS = set(_REPLACEMENTS)


def fitted_sizes(
    model: Slim, width: int, photographs: list[Tensor], kodak: list[np.ndarray], kept: set[str]
) -> np.ndarray:
    """Bytes of all Kodak pictures at each of the rates, with the parts of the fit in ``kept`` only."""
    layers = model.loaded_width(width)
    layers.prior.freeze(layers.table_gains())
    left_out = {
        name: replacement for name, replacement in _REPLACEMENTS.items() if name not in kept
    }
    with patch.multiple(activity_fit, **left_out) if left_out else patch.dict({}):
        activity_fit.fit_prior(model, width, photographs, CROPS, seed=0)
    layers.__dict__.pop("tables", None)
    sizes = np.zeros(len(RATES))
    for pixels in kodak:
        y = model.analyse_at_width(model.analyse(pixels), width)
        for index, rate in enumerate(RATES):
            state = model.rate_parameters_at_width(code_from_rate(rate), width)
            sizes[index] += len(layers.put(model.quantise(y, state), state.level).data)
    return sizes


if __name__ == "__main__":
    main()
