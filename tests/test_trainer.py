"""The trainer: learns, stops, and resumes where it was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.conftest import GOLDEN
from tests.recipes import TINY, pictures, rows, save_pictures, state, trainer_in
from vrcodec.errors import CorruptError, UsageError, WeightsError
from vrcodec.models.networks.backbone import BackboneSize
from vrcodec.models.weights import load_state
from vrcodec.training.data import CropSampler
from vrcodec.training.loop import Budget, Log
from vrcodec.training.optim import GradientGuard, learning_rate_factor


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pictures(tmp_path_factory.mktemp("data"))


def test_training_lowers_the_loss(data: Path, tmp_path: Path) -> None:
    trainer = trainer_in(tmp_path, replace(TINY, learning_rate=5e-3, batch=4))
    crops = CropSampler(pictures(data), 64, 1, "cpu").batch(8)

    def loss() -> float:
        torch.manual_seed(0)
        with torch.no_grad():
            return float(trainer.objective(trainer.model, crops).total)

    before = loss()
    log = Log(tmp_path / "log.csv", lambda line: None)
    trainer.run(CropSampler(pictures(data), 64, 0, "cpu"), Budget(steps=301), log)
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
    sampler = CropSampler(pictures(data), 64, 0, "cpu")
    trainer.run(sampler, Budget(steps=2), Log(None, print))
    assert torch.equal(trainer.model.get_parameter("analysis_net.1.weight"), held)
    assert not torch.equal(trainer.model.get_parameter("hyper_synthesis_net.0.weight"), new)
    trainer.run(sampler, Budget(steps=4), Log(None, print))
    assert not torch.equal(trainer.model.get_parameter("analysis_net.1.weight"), held)


def test_a_resumed_run_is_where_it_was(data: Path, tmp_path: Path) -> None:
    first = trainer_in(tmp_path / "run")
    first.run(CropSampler(pictures(data), 64, 0, "cpu"), Budget(steps=4), Log(None, print))
    first.save()
    second = trainer_in(tmp_path / "run")
    second.resume()
    assert (second.step, second.seconds) == (first.step, first.seconds)
    for trainer in (first, second):
        torch.manual_seed(5)
        trainer.run(CropSampler(pictures(data), 64, 9, "cpu"), Budget(steps=7), Log(None, print))
    expected = state(first)
    assert all(torch.equal(v, expected[k]) for k, v in state(second).items())
    averages = second.average.state
    assert all(torch.equal(v, averages[k]) for k, v in first.average.state.items())


def test_the_schedule_does_not_know_of_interruptions(data: Path, tmp_path: Path) -> None:
    rates = []
    trainer = trainer_in(tmp_path)
    sampler = CropSampler(pictures(data), 64, 0, "cpu")
    for stop in (3, 8):
        budget = Budget(steps=8)
        while trainer.step < stop:
            trainer._train_step(sampler, budget.progress(0, trainer.step))
            rates.append(trainer.optimizers[0].param_groups[0]["lr"])
        trainer.save()
        trainer = trainer_in(tmp_path)
        trainer.resume()
    expected = [1e-3 * learning_rate_factor(step, step / 8, 3, 0.01) for step in range(8)]
    assert rates == pytest.approx(expected)
    assert expected[2] > expected[3] > expected[7] > 1e-5


def test_pause_ends_a_process_early(data: Path, tmp_path: Path) -> None:
    trainer = trainer_in(tmp_path)
    sampler = CropSampler(pictures(data), 64, 0, "cpu")
    trainer.run(sampler, Budget(minutes=60, pause_minutes=0.001), Log(None, print))
    assert 1 <= trainer.step < 1000


def test_budget_is_one_of_two() -> None:
    for minutes, steps in ((None, None), (1.0, 5)):
        with pytest.raises(UsageError):
            Budget(minutes, steps)
    assert Budget(minutes=2).progress(60, 0) == pytest.approx(0.5)


def test_outlying_gradients_are_left_out() -> None:
    weight = nn.Parameter(torch.zeros(3))
    guard = GradientGuard(clip_norm=1.0)
    for _ in range(30):
        weight.grad = torch.full((3,), 0.1)
        assert guard.clip([weight])[0]
    weight.grad = torch.full((3,), 100.0)
    assert not guard.clip([weight])[0]
    weight.grad = torch.full((3,), float("nan"))
    assert not guard.clip([weight])[0]
    weight.grad = torch.full((3,), 0.1)
    assert guard.clip([weight])[0]


def test_foreign_weights_are_no_start(tmp_path: Path) -> None:
    with pytest.raises(WeightsError):
        trainer_in(tmp_path).load_matching({"unknown": torch.zeros(3)})


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    trainer = trainer_in(tmp_path)
    for content in (b"", b"nonsense"):
        (tmp_path / "checkpoint.pt").write_bytes(content)
        with pytest.raises(CorruptError, match="checkpoint"):
            trainer.resume()
