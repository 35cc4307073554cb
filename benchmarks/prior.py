"""What the prior of `slim` gains from what a decoder knows already: bytes on Kodak, part by part.

    python -m benchmarks.prior /path/to/kodak PHOTOGRAPHS

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
        first: np.ndarray | None = None
        for name, kept in (("channels", set()), ("classes", {"_fit_bounds"}), ("all", _FITS)):
            sizes = fitted_sizes(model, width, photographs, kodak, kept)
            first = sizes if first is None else first
            cells = [f"{change:+.1%}" for change in sizes / first - 1]
            rows.append([str(width), name, *cells])
    print(markdown((["width", "prior knows", *map(str, RATES)], rows)))


def _out_of_reach(prior: ActivityPrior, _: object) -> None:
    prior.bounds.fill_(torch.iinfo(torch.int32).max)


def _no_weights(prior: ActivityPrior, _: object) -> None:
    prior.weights.zero_()


# Parts of the fit, and what stands in for them.
_WITHOUT = {"_fit_bounds": _out_of_reach, "_fit_weights": _no_weights}
_FITS = set(_WITHOUT)


def fitted_sizes(
    model: Slim, width: int, photographs: list[Tensor], kodak: list[np.ndarray], kept: set[str]
) -> np.ndarray:
    """Bytes of all Kodak pictures at each of the rates, ``kept`` parts of the fit made, others not."""
    own = model.own(width)
    own.prior.freeze(own.table_gains())
    left_out = {name: stand_in for name, stand_in in _WITHOUT.items() if name not in kept}
    with patch.multiple(activity_fit, **left_out) if left_out else patch.dict({}):
        activity_fit.fit_prior(model, width, photographs, CROPS, seed=0)
    own.__dict__.pop("tables", None)
    sizes = np.zeros(len(RATES))
    for pixels in kodak:
        y = model.narrow_analysis(model.analysis(pixels), width)
        for index, rate in enumerate(RATES):
            state = model.width_state(code_from_rate(rate), width)
            sizes[index] += len(own.put(model.quantise(y, state), state.level).data)
    return sizes


if __name__ == "__main__":
    main()
