"""Recipes of models that train in a moment, pictures to train them on, and trainers of them."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import skimage.data
import torch
from PIL import Image

from vrcodec.models.networks.backbone import BackboneSize
from vrcodec.picture.folders import find_pictures
from vrcodec.training.checkpoint import read_checkpoint
from vrcodec.training.data import load_pictures
from vrcodec.training.distributed import ProcessGroup
from vrcodec.training.loop import Trainer
from vrcodec.training.recipes import Recipe

TINY = Recipe(
    family="gained",
    size=BackboneSize(channels=8, latent=12, hyper=4, blocks=1, prior=8),
    crop=64,
    batch=2,
    warmup_steps=3,
    optimizer="muon",
    calibration_crops=10,
)
TINY_SLIM = replace(
    TINY,
    family="slim",
    size=BackboneSize(
        channels=12,
        latent=12,
        hyper=0,
        blocks=1,
        prior=0,
        widths=(4, 6, 8, 10, 12),
        reach=(1.0,) * 5,
    ),
)


def save_pictures(folder: Path) -> Path:
    """A folder of training pictures, in the format of the real ones."""
    Image.fromarray(skimage.data.astronaut()[:200, :200]).save(folder / "a.avif", quality=90)
    Image.fromarray(skimage.data.chelsea()[:150, :300]).save(folder / "b.png")
    Image.fromarray(skimage.data.chelsea()[:30, :30]).save(folder / "small.png")
    return folder


def pictures(data: Path) -> list[torch.Tensor]:
    return load_pictures(find_pictures([data]), print)


def trainer_in(folder: Path, recipe: Recipe = TINY) -> Trainer:
    folder.mkdir(exist_ok=True)
    return Trainer(recipe, folder, "cpu", ProcessGroup(), seed=0)


def state(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in trainer.model.state_dict().items()}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def tensors(folder: Path) -> list[torch.Tensor]:
    """All tensors of a checkpoint: weights, averages, optimizers."""

    def walk(value: object) -> Iterator[torch.Tensor]:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, dict | list):
            for part in value.values() if isinstance(value, dict) else value:
                yield from walk(part)

    state = read_checkpoint(folder, "cpu", ProcessGroup())
    assert state is not None
    return list(walk(state))
