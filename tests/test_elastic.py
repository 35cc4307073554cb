"""Training on several machines: processes that die are started again, and the run goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import skimage.data
import torch
from PIL import Image

from tests.conftest import ROOT

STEPS, LAST_BEFORE_DEATH = 9, 4

# Each rank has a folder of its own, as machines that share none do.
SCRIPT = """
import os, signal
from pathlib import Path
import torch
from tests.test_train import TINY
from vrcodec.training import loop
from vrcodec.training.session import Session, train

torch.set_num_threads(1)
folder, victim = Path({folder!r}), {victim}
rank, start = int(os.environ["RANK"]), os.environ["TORCHELASTIC_RESTART_COUNT"]
take_step = loop.Trainer._train_step

def take_step_or_die(trainer, *arguments):
    note = folder / f"first-{{start}}-{{rank}}"
    if not note.exists():
        note.write_text(str(trainer.step))
    if start == "0" and trainer.step == {last}:
        if rank == 0:
            trainer.save()
        torch.distributed.barrier()
        if rank == victim:
            os.kill(os.getpid(), signal.SIGKILL)
    return take_step(trainer, *arguments)

loop.Trainer._train_step = take_step_or_die
train(Session(TINY, (folder / "data",), folder / f"run{{rank}}", steps={steps}, device="cpu"))
"""


@pytest.mark.parametrize("victim", [0, 1])
def test_a_process_that_dies_costs_nothing_but_time(tmp_path: Path, victim: int) -> None:
    data = tmp_path / "data"
    data.mkdir()
    Image.fromarray(skimage.data.astronaut()[:200, :200]).save(data / "a.png")
    script = tmp_path / "rank.py"
    script.write_text(
        SCRIPT.format(folder=str(tmp_path), victim=victim, last=LAST_BEFORE_DEATH, steps=STEPS)
    )
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    subprocess.run(
        [*torchrun, "--nproc-per-node=2", "--max-restarts=1", script],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        check=True,
        timeout=300,
        capture_output=True,
    )
    first = {path.name: int(path.read_text()) for path in tmp_path.glob("first-*")}
    assert first == {
        "first-0-0": 0,
        "first-0-1": 0,
        "first-1-0": LAST_BEFORE_DEATH,
        "first-1-1": LAST_BEFORE_DEATH,
    }
    state = torch.load(tmp_path / "run0" / "checkpoint.pt", weights_only=True)
    assert state["step"] == STEPS
    card = json.loads((tmp_path / "run0" / "gained.json").read_text())
    # Both ranks, every step, none twice.
    assert card["training"][-1]["samples"] == STEPS * 2 * 2
