"""Ablation of the kernel sharing of `slim`: the widest network against the same training of that width alone.

    python -m benchmarks.sharing_ablation /path/to/kodak --data PHOTOGRAPHS --init WEIGHTS --steps N -o RUN

Trains with the recipe of `slim` but for its widths; with a finished RUN it only compares.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.slim import WIDTH_POINTS, Curve, add_point
from vrcodec.bitstream.rate_setting import RateSetting
from vrcodec.catalog import WEIGHTS_VARIABLE
from vrcodec.codec import Decoder, Encoder
from vrcodec.picture.folders import read_folder
from vrcodec.rate import code_from_rate
from vrcodec.training.recipes import load_recipe
from vrcodec.training.schedule import Schedule
from vrcodec.training.session import Session, train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", type=Path, action="append", default=[])
    parser.add_argument("--init", type=Path)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("-o", dest="run", type=Path, required=True)
    arguments = parser.parse_args()
    recipe = load_recipe("slim")
    width = recipe.size.channels
    recipe = replace(
        recipe,
        size=replace(recipe.size, widths=(width,), reach=(1.0,)),
        learning_rate=arguments.learning_rate or recipe.learning_rate,
    )
    if not (arguments.run / "slim.safetensors").exists():
        train(
            Session(
                recipe=recipe,
                data=tuple(arguments.data),
                folder=arguments.run,
                schedule=Schedule(steps=arguments.steps),
                init=arguments.init,
            )
        )
    shared = measure_curve(arguments.folder, width)
    os.environ[WEIGHTS_VARIABLE] = str(arguments.run)
    alone = measure_curve(arguments.folder, width)
    for name, curve in (("alone", alone), ("shared", shared)):
        points = zip(*curve.means(), strict=True)
        print(name, *(f"{bpp:.3f}/{quality:.2f}" for bpp, quality in points))
    print(f"sharing costs {shared.bd_rate(alone):+.1f} % of bits at equal PSNR")


def measure_curve(folder: Path, width: int) -> Curve:
    """The curve on ``folder`` of the first weights of `slim` on the search path."""
    encoder, decoder, curve = Encoder("slim"), Decoder(), Curve()
    pictures = list(read_folder(folder).values())
    for rate in np.linspace(0, 1, WIDTH_POINTS):
        setting = RateSetting(code_from_rate(rate), width=width)
        add_point(curve, encoder, decoder, setting, pictures)
    return curve


if __name__ == "__main__":
    main()
