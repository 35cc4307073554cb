"""A prior that learns alone, from latents that are kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.conftest import GOLDEN, ROOT
from tests.recipes import TINY, save_pictures, tensors
from vrcodec.catalog import find_by_family
from vrcodec.errors import UsageError
from vrcodec.models.hyperprior import HyperpriorModel
from vrcodec.models.learning.passes import analyse
from vrcodec.models.learning.trainable import load_trainable
from vrcodec.models.weights import load_size
from vrcodec.training.data import CropSampler
from vrcodec.training.objectives import QualityMaps, UniformRates, choose_objective, latent_loss
from vrcodec.training.schedule import Schedule
from vrcodec.training.session import Session, train

GAINED = GOLDEN / "gained.safetensors"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pictures(tmp_path_factory.mktemp("data"))


def session(data: Path, folder: Path, steps: int, distinct_crops: int = 6) -> Session:
    recipe = replace(
        TINY, size=load_size(GAINED), learns="prior", distinct_crops=distinct_crops, graphics=0.3
    )
    return Session(recipe, (data,), folder, Schedule(steps=steps), init=GAINED, device="cpu")


def after(steps: int) -> Callable[[], bool]:
    """Stop behind so many steps: asked once before each of them."""
    calls = count()
    return lambda: next(calls) >= steps


@pytest.mark.parametrize("family", ["gained", "qmap", "qvrf"])
def test_bits_are_those_of_the_whole_pass(family: str) -> None:
    model = load_trainable(find_by_family(family))
    assert isinstance(model, HyperpriorModel)
    objective = choose_objective(model)
    assert isinstance(objective, UniformRates | QualityMaps)
    torch.manual_seed(0)
    x, levels = torch.rand(2, 3, 64, 128), torch.tensor([[0.1, 0.9], [0.8, 0.3]])
    levels = levels[:, : objective.draw_levels(2).shape[1]]
    with torch.no_grad():
        torch.manual_seed(1)
        whole = objective.loss(x, levels)
        torch.manual_seed(1)
        rate = objective.rate(x, levels)
        y = analyse(model, x, model.compute_conditions(model.gains(rate).levels))
        of_latents = latent_loss(model, y, rate)
    assert torch.allclose(whole.bpp, of_latents.bpp, rtol=1e-5)
    assert 0 < float(of_latents.total) < float(whole.total)


def test_crops_are_drawn_once(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three steps of two; later steps learn from the same, and the card says how many there were."""
    drawn = []
    batch = CropSampler.batch

    def counted(self: CropSampler, levels: list[float], random: np.random.Generator) -> Tensor:
        drawn.append(len(levels))
        return batch(self, levels, random)

    monkeypatch.setattr(CropSampler, "batch", counted)
    train(session(data, tmp_path, 8))
    assert sum(drawn) == 6
    stage = json.loads((tmp_path / "gained.json").read_text())["training"][-1]
    assert (stage["distinct_crops"], stage["samples"]) == (6, 16)


def test_a_resumed_run_has_the_same_crops(data: Path, tmp_path: Path) -> None:
    train(session(data, tmp_path / "whole", 8))
    paused = session(data, tmp_path / "resumed", 8)
    train(replace(paused, stop=after(4)))
    train(replace(paused, resume=True))
    whole, resumed = (tensors(tmp_path / name) for name in ("whole", "resumed"))
    assert all(torch.equal(a, b) for a, b in zip(whole, resumed, strict=True))


def test_only_where_transforms_stand_still(data: Path, tmp_path: Path) -> None:
    learning = session(data, tmp_path, 1)
    recipe = replace(learning.recipe, learns="encoder")
    with pytest.raises(UsageError, match="--only prior"):
        train(replace(learning, recipe=recipe))


def test_options_of_the_command(data: Path, tmp_path: Path) -> None:
    from vrcodec.cli.main import run

    shipped = ROOT / "weights" / "gained.safetensors"
    kept = ["--only", "prior", "--init", str(shipped), "--distinct-crops", "4"]
    arguments = ["train", "gained", "--data", str(data), "-o", str(tmp_path), "--steps", "1", "-q"]
    assert run([*arguments, "--crop", "96"]) == 2
    assert run([*arguments, *kept[2:]]) == 2
    assert run([*arguments, *kept, "--crop", "64", "--batch", "1"]) == 0
    stage = json.loads((tmp_path / "gained.json").read_text())["training"][-1]
    assert (stage["crop"], stage["distinct_crops"]) == (64, 1)
