"""The trainer: learns, stops, and resumes where it was."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from torch import nn

from tests.conftest import GOLDEN
from tests.recipes import TINY, pictures, rows, save_pictures, state, tensors, trainer_in
from vrcodec.errors import CorruptError, UsageError, WeightsError
from vrcodec.models.learning.trainable import load_state
from vrcodec.models.networks.backbone import BackboneSize
from vrcodec.training.checkpoint import read_checkpoint
from vrcodec.training.data import CropSampler
from vrcodec.training.distributed import ProcessGroup
from vrcodec.training.log import Log
from vrcodec.training.loop import Trainer
from vrcodec.training.optim import GradientGuard
from vrcodec.training.recipes import LEARNING, Part, load_recipe
from vrcodec.training.schedule import Position, Schedule, Shape, learning_rate_factor


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pictures(tmp_path_factory.mktemp("data"))


def test_training_lowers_the_loss(data: Path, tmp_path: Path) -> None:
    trainer = trainer_in(tmp_path, replace(TINY, learning_rate=5e-3, batch=4))
    levels = torch.linspace(0, 1, 8)
    crops = CropSampler(pictures(data), 64, "cpu").batch(levels.tolist(), np.random.default_rng(1))

    def loss() -> float:
        torch.manual_seed(0)
        with torch.no_grad():
            return float(trainer.objective.loss(crops, levels.unsqueeze(1)).total)

    before = loss()
    log = Log(tmp_path / "log.csv", lambda line: None)
    trainer.run(CropSampler(pictures(data), 64, "cpu"), Schedule(steps=301), log)
    assert loss() < 0.7 * before
    assert len(rows(tmp_path / "log.csv")) == 6


def test_weights_start_a_new_run(data: Path, tmp_path: Path) -> None:
    size = BackboneSize(channels=24, latent=32, hyper=8, blocks=1, prior=16)
    trainer = trainer_in(tmp_path, replace(TINY, size=size, frozen_steps=2))
    before = trainer.model.log_gain.clone()
    trainer.load_matching(load_state(GOLDEN / "gained.safetensors"))
    assert not torch.equal(trainer.model.log_gain, before)
    assert not trainer.inherited
    partial = {
        k: v for k, v in load_state(GOLDEN / "gained.safetensors").items() if "hyper" not in k
    }
    trainer.load_matching(partial)
    held = trainer.model.get_parameter("analysis_net.1.weight").clone()
    new = trainer.model.get_parameter("hyper_synthesis_net.0.weight").clone()
    sampler = CropSampler(pictures(data), 64, "cpu")
    trainer.run(sampler, Schedule(steps=2), Log(None, print))
    assert torch.equal(trainer.model.get_parameter("analysis_net.1.weight"), held)
    assert not torch.equal(trainer.model.get_parameter("hyper_synthesis_net.0.weight"), new)
    trainer.run(sampler, Schedule(steps=4), Log(None, print))
    assert not torch.equal(trainer.model.get_parameter("analysis_net.1.weight"), held)


def test_a_resumed_run_is_where_it_was(data: Path, tmp_path: Path) -> None:
    """To the bit: weights, averages, optimizers, and what it draws."""
    sampler = CropSampler(pictures(data), 64, "cpu")
    whole, first = trainer_in(tmp_path / "whole"), trainer_in(tmp_path / "run")
    whole.run(sampler, Schedule(steps=30, shape="constant"), Log(None, print))
    first.run(sampler, Schedule(steps=23, shape="constant"), Log(None, print))
    torch.rand(5)
    second = loaded_in(tmp_path / "run")
    assert second.position == first.position
    second.run(sampler, Schedule(steps=7, shape="constant"), Log(None, print))
    for expected, got in zip(tensors(whole.folder), tensors(second.folder), strict=True):
        assert torch.equal(expected, got)


def loaded_in(folder: Path) -> Trainer:
    state = read_checkpoint(folder, "cpu", ProcessGroup())
    assert state is not None
    trainer = trainer_in(folder)
    trainer.load(state)
    return trainer


def test_the_schedule_does_not_know_of_interruptions(data: Path, tmp_path: Path) -> None:
    rates = []
    trainer = trainer_in(tmp_path)
    sampler = CropSampler(pictures(data), 64, "cpu")
    for stop in (3, 8):
        schedule = Schedule(steps=8)
        while trainer.position.step < stop:
            trainer._train_step(sampler, schedule.progress(Position(), trainer.position))
            rates.append(trainer.optimizers[0].param_groups[0]["lr"])
        trainer.save()
        trainer = loaded_in(tmp_path)
    expected = [1e-3 * learning_rate_factor("cosine", step, step / 8, 3, 0.01) for step in range(8)]
    assert rates == pytest.approx(expected)
    assert expected[2] > expected[3] > expected[7] > 1e-5


def test_the_learning_rate_of_a_trunk_stays_and_that_of_a_branch_falls() -> None:
    def factors(shape: Shape) -> list[float]:
        return [learning_rate_factor(shape, 9 + k, k / 4, 4, 0.01) for k in range(5)]

    assert factors("constant") == [1.0] * 5
    assert factors("decay") == pytest.approx([1, 0.5, 1 - 0.5**0.5, 1 - 0.75**0.5, 0])
    assert learning_rate_factor("constant", 0, 0, 4, 0.01) == 0.25


def test_pause_ends_a_process_early(data: Path, tmp_path: Path) -> None:
    trainer = trainer_in(tmp_path)
    sampler = CropSampler(pictures(data), 64, "cpu")
    trainer.run(sampler, Schedule(minutes=60, pause_minutes=0.001), Log(None, print))
    assert 1 <= trainer.position.step < 1000


def test_budget_is_one_of_two() -> None:
    for minutes, steps in ((None, None), (1.0, 5)):
        with pytest.raises(UsageError):
            Schedule(minutes, steps)
    half = Position(seconds=60)
    assert Schedule(minutes=2).progress(Position(), half) == pytest.approx(0.5)
    assert Schedule(shape="constant").progress(Position(), half) == 0
    with pytest.raises(UsageError):
        Schedule(1.0, 5, shape="constant")


def test_outlying_gradients_are_left_out() -> None:
    weight = nn.Parameter(torch.zeros(3))
    guard = GradientGuard(clip_norm=1.0, device="cpu")

    def is_rejected(value: float) -> bool:
        weight.grad = torch.full((3,), value)
        return bool(guard.clip([weight])[0])

    assert not any(is_rejected(0.1) for _ in range(30))
    assert is_rejected(100.0)
    assert is_rejected(float("nan"))
    assert not is_rejected(0.1)
    assert int(guard.rejected) == 2
    # What it remembers goes on with a run, until gradients are of another kind.
    other = GradientGuard(clip_norm=1.0, device="cpu")
    other.load(guard.state())
    guard = other
    assert is_rejected(100.0)
    guard.forget()
    assert not is_rejected(100.0)


@pytest.mark.parametrize("optimizer", ["adam", "muon"])
def test_a_rejected_step_changes_nothing(
    data: Path, tmp_path: Path, optimizer: Literal["adam", "muon"], monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = trainer_in(tmp_path, replace(TINY, optimizer=optimizer))
    sampler = CropSampler(pictures(data), 64, "cpu")
    trainer.run(sampler, Schedule(steps=3), Log(None, print))
    before, momenta = state(trainer), [o.state_dict()["state"] for o in trainer.optimizers]
    momenta = deepcopy(momenta)
    monkeypatch.setattr(sampler, "batch", lambda *_: torch.full((2, 3, 64, 64), float("nan")))
    trainer.run(sampler, Schedule(steps=4), Log(None, print))
    assert int(trainer.guard.rejected) == 1
    for key, value in state(trainer).items():
        assert torch.equal(value, before[key]), key
    for optimizer_state, former in zip(trainer.optimizers, momenta, strict=True):
        for number, values in optimizer_state.state_dict()["state"].items():
            for name, value in values.items():
                assert torch.equal(value, former[number][name]), name


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("family", ["gained", "qvrf", "qmap", "qarv"])
def test_no_step_waits_for_a_gpu(data: Path, tmp_path: Path, family: str) -> None:
    groups = () if family in ("gained", "qmap") else (2, 2, 8)
    size = BackboneSize(8, 12, 4, 1, 8, groups, 8 if family == "qvrf" else 0)
    recipe = replace(TINY, family=family, size=size)
    trainer = Trainer(recipe, tmp_path, "cuda", ProcessGroup(), seed=0)
    sampler = CropSampler(pictures(data), 64, "cuda", graphics=0.5)
    trainer._train_step(sampler, 0.0)
    torch.cuda.set_sync_debug_mode("error")
    try:
        trainer._train_step(sampler, 0.0)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_foreign_weights_are_no_start(tmp_path: Path) -> None:
    with pytest.raises(WeightsError):
        trainer_in(tmp_path).load_matching({"unknown": torch.zeros(3)})


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    for content in (b"", b"nonsense", b"hello", b"\x80\x02}("):
        (tmp_path / "checkpoint.pt").write_bytes(content)
        with pytest.raises(CorruptError, match="checkpoint"):
            read_checkpoint(tmp_path, "cpu", ProcessGroup())
    with pytest.raises(CorruptError, match="checkpoint"):
        trainer_in(tmp_path).load({"model": {}})


@pytest.mark.parametrize(
    ("part", "moving"), [("synthesis", "synthesis_net"), ("encoder", "analysis_net")]
)
def test_a_part_learns_alone(part: Part, moving: str, data: Path, tmp_path: Path) -> None:
    trainer = trainer_in(tmp_path, replace(TINY, learns=part, graphics=0.1))
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    sampler = CropSampler(pictures(data), 64, "cpu", graphics=0.1)
    trainer.run(sampler, Schedule(steps=3), Log(tmp_path / "log.csv", lambda line: None))
    after = trainer.averaged_model().state_dict()
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert changed
    assert all(name.startswith(LEARNING[part]) for name in changed)
    assert any(name.startswith(moving) for name in changed)


def test_slim_learns_as_a_whole(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="as a whole"):
        trainer_in(tmp_path, replace(load_recipe("slim"), learns="synthesis"))
