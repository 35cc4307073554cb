"""How the golden files came to be. Running it again makes others, which is not wanted.

    python tests/golden/make_golden.py MODEL OUTPUT_FOLDER

MODEL is a family, or scale_hyperprior: the other kind of the family hyperprior.

The files beside this script are frozen: whatever becomes of the shipped weights, a decoder that does not
reproduce their symbols, and their pixels within one step, has broken the format.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
import torch
from PIL import Image

from vrcodec.bitstream.inspection import inspect
from vrcodec.bitstream.quality_map import COARSE_STRIDE, QualityMap
from vrcodec.bitstream.rate_setting import RateSetting
from vrcodec.codec import Decoder, Encoder
from vrcodec.engine import Engine
from vrcodec.models import Gained, Qarv, Qvrf
from vrcodec.models.networks.backbone import BackboneSize
from vrcodec.models.regulated import RegulatedModel
from vrcodec.picture.picture import Picture
from vrcodec.training.data import CropSampler
from vrcodec.training.distributed import ProcessGroup
from vrcodec.training.export import export_model
from vrcodec.training.log import Log
from vrcodec.training.loop import Trainer
from vrcodec.training.recipes import Recipe
from vrcodec.training.schedule import Schedule

TINY = BackboneSize(channels=24, latent=32, hyper=8, blocks=1, prior=16)
SIZES = {
    "gained": TINY,
    "qvrf": replace(TINY, groups=(2, 2, 4, 8, 16), context=16),
    "qmap": TINY,
    "slim": replace(TINY, hyper=0, prior=0, widths=(8, 16, 24), reach=(0.5, 0.8, 1.0)),
    "qarv": replace(TINY, hyper=0, groups=(2, 2, 4, 8, 16)),
    "hyperprior": BackboneSize(channels=8, latent=12, hyper=8, blocks=0, prior=24),
    "scale_hyperprior": BackboneSize(channels=8, latent=12, hyper=8, blocks=0, prior=12),
}
OTHER_NAMES = {"scale_hyperprior": "hyperprior"}
USUAL = {"crop": 128, "learning_rate": 5e-3}
RECIPES = {"hyperprior": {"crop": 64, "learning_rate": 2e-3}}
STEPS = {"hyperprior": 500}
USUAL_STEPS = 1500
ENGINE = Engine("cpu", "float32")


def main() -> None:
    family, folder = sys.argv[1], Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    make_weights(family, folder)
    # The files of the first family are called by what they show alone.
    prefix = "" if family == "gained" else f"{family}_"
    os.environ["VRCODEC_WEIGHTS"] = str(folder)
    expected = {}
    for name, (pixels, rate_code) in pictures().items():
        picture = Picture.from_array(pixels)
        setting = RateSetting(rate_code, **extras(family, name, picture))
        name = prefix + name
        data = Encoder(family, ENGINE).encode(picture, setting)
        decoded = Decoder(ENGINE).decode(data)
        (folder / f"{name}.vrc").write_bytes(data)
        Image.fromarray(decoded.to_array()).save(folder / f"{name}.png", optimize=True)
        expected[name] = {"bytes": len(data), "streams": inspect(data).streams}
    (folder / f"{prefix}expected.json").write_text(json.dumps(expected, indent=1) + "\n")


def make_weights(name: str, folder: Path) -> None:
    """Train a tiny model on two photographs, and export it."""
    family = OTHER_NAMES.get(name, name)
    photographs = [
        torch.from_numpy(picture).permute(2, 0, 1).contiguous()
        for picture in (skimage.data.astronaut(), skimage.data.chelsea())
    ]
    recipe = Recipe(family=family, size=SIZES[name], **RECIPES.get(family, USUAL))
    trainer = Trainer(recipe, folder, "cpu", ProcessGroup(), seed=0)
    sampler = CropSampler(photographs, recipe.crop, "cpu")
    steps = STEPS.get(family, USUAL_STEPS)
    trainer.run(sampler, Schedule(steps=steps), Log(None, print))
    (folder / "checkpoint.pt").unlink(missing_ok=True)
    model = trainer.averaged_model()
    with torch.no_grad():
        # Finer steps than the prior expects: symbols in every table, and some outside.
        if isinstance(model, Gained):
            model.log_gain += 1.5
            model.log_inverse_gain -= 1.5
        elif isinstance(model, RegulatedModel):
            model.regulator.first += 4.0 if isinstance(model, Qvrf) else 2.0
        elif isinstance(model, Qarv):
            for level in chain(*model.descent.levels()):
                level.log2_gain += 4.0
    # Else its prior would say the same everywhere.
    fitted = photographs if family == "slim" else []
    own = name if name in OTHER_NAMES else ""
    export_model(
        model, folder, [{"steps": steps}], fitted, crops=12, name=own, version=int(bool(own))
    )


def pictures() -> dict[str, tuple[np.ndarray, int]]:
    """Name -> pixels and rate code: one sample, odd sides, two blocks, noise that leaves the tables."""
    photograph = skimage.data.astronaut()
    noise = np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)
    stripe = np.tile(photograph[200:217], (1, 3, 1))[:, :1100]
    return {
        "dot": (np.array([[[200, 30, 90]]], dtype=np.uint8), 65535),
        "grey": (photograph[60:137, 180:281, 1].copy(), 20000),
        "photograph": (photograph[0:131, 160:290].copy(), 45000),
        "two_blocks": (stripe, 30000),
        "noise": (noise, 65535),
    }


def extras(family: str, name: str, picture: Picture) -> dict[str, Any]:
    """What goes with the rate: maps, and once a width."""
    if family == "slim" and name == "grey":
        return {"width": 16}
    return {"qmap": quality_map(picture)} if family == "qmap" else {}


def quality_map(picture: Picture) -> QualityMap:
    """Levels that differ from cell to cell."""
    sides = QualityMap.grid_shape(picture.width, picture.height, COARSE_STRIDE)
    cells = np.random.default_rng(1).integers(0, 256, sides, dtype=np.uint8)
    return QualityMap(cells, COARSE_STRIDE)


if __name__ == "__main__":
    main()
