"""Processes that torchrun starts: kept in step, and going on when it starts them anew."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.conftest import ROOT
from tests.recipes import TINY, TINY_SLIM, save_pictures, state, trainer_in
from vrcodec.errors import OutputError, UsageError
from vrcodec.training.distributed import ProcessGroup
from vrcodec.training.loop import Trainer
from vrcodec.training.schedule import Schedule
from vrcodec.training.session import Session, train


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pictures(tmp_path_factory.mktemp("data"))


def test_half_of_what_torchrun_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    """As other launchers leave it behind."""
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(UsageError, match="RANK is set"), ProcessGroup.join("cpu"):
        pass


@pytest.mark.long
@pytest.mark.parametrize("recipe", ["TINY", "TINY_SLIM"])
def test_two_processes_learn_the_same(data: Path, tmp_path: Path, recipe: str) -> None:
    """torchrun with gloo: each rank sees other crops, and both hold the same weights after them.

    The ranks of `slim` draw other widths, too.
    """
    script = tmp_path / "rank.py"
    script.write_text(
        f"""
import os, torch
from pathlib import Path
from tests.recipes import TINY, TINY_SLIM, pictures, state
from vrcodec.training.calibration import fit_tables
from vrcodec.training.complexity import count_kmac
from vrcodec.training.data import CropSampler
from vrcodec.training.log import Log
from vrcodec.training.loop import Trainer
from vrcodec.training.schedule import Schedule
from vrcodec.training.distributed import ProcessGroup

torch.set_num_threads(1)
with ProcessGroup.join("cpu") as group:
    assert group.world_size == 2
    folder = Path({str(tmp_path)!r})
    trainer = Trainer({recipe}, folder, "cpu", group, seed=0)
    sampler = CropSampler(pictures(Path({str(data)!r})), 64, "cpu")
    crops = sampler.batch([0.5], trainer._seed_step(trainer.position.step)).sum()
    trainer.run(sampler, Schedule(steps=3), Log(None, print))
    layer = torch.nn.Linear(2, 1)
    layer.weight.grad = torch.full((1, 2), 1.0 + group.rank)
    layer.bias.grad = torch.ones(1) if group.rank else None
    group.average_gradients(layer)
    assert torch.equal(layer.weight.grad, torch.full((1, 2), 1.5))
    assert torch.equal(layer.bias.grad, torch.full((1,), 0.5))
    torch.save({{"state": state(trainer), "crops": crops}}, folder / f"rank{{group.rank}}.pt")
"""
    )
    subprocess.run(
        [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            "--nproc-per-node=2",
            script,
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        check=True,
        timeout=300,
        capture_output=True,
    )
    saved = [torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1)]
    assert not torch.equal(saved[0]["crops"], saved[1]["crops"])
    start = state(trainer_in(tmp_path, {"TINY": TINY, "TINY_SLIM": TINY_SLIM}[recipe]))
    for key, value in saved[0]["state"].items():
        assert torch.equal(value, saved[1]["state"][key]), key
    assert any(not torch.equal(v, start[k]) for k, v in saved[0]["state"].items())


def test_a_run_that_torchrun_starts_anew_goes_on(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same command again, after a process has died: neither refused nor begun anew."""
    session = Session(TINY, (data,), tmp_path / "run", schedule=Schedule(steps=6), device="cpu")
    with monkeypatch.context() as patch:
        patch.setattr(Schedule, "progress", lambda *_: 0.0)
        patch.setattr(Trainer, "_train_step", dying_after(3))
        with pytest.raises(RuntimeError, match="killed"):
            train(session)
    with pytest.raises(OutputError):
        train(session)
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    train(session)
    card = json.loads((tmp_path / "run" / "gained.json").read_text())
    assert card["training"][-1]["samples"] == 6 * TINY.batch
    # Of a run that has no checkpoint yet there is nothing to go on with.
    train(replace(session, folder=tmp_path / "other"))


def dying_after(steps: int) -> object:
    """A step of training that fails behind the first so many."""
    take_step = Trainer._train_step

    def take_or_die(trainer: Trainer, *arguments: object) -> object:
        if trainer.position.step == steps:
            raise RuntimeError("killed")
        return take_step(trainer, *arguments)

    return take_or_die
