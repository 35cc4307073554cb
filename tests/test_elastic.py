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
from tests.extent import extent

# At which step which rank dies, by how often the processes have been started again.
DEATHS = extent({"0": (3, 1)}, {"0": (3, 1), "1": (5, 0)})
STEPS = 7

# Each rank has a folder of its own, as machines that share none do.
SCRIPT = """
import os, signal
from pathlib import Path
import torch
from tests.test_elastic import DEATHS, STEPS
from tests.recipes import TINY
from vrcodec.training import loop
from vrcodec.training.schedule import Schedule
from vrcodec.training.session import Session, train

torch.set_num_threads(1)
folder = Path({folder!r})
rank, start = int(os.environ["RANK"]), os.environ["TORCHELASTIC_RESTART_COUNT"]
last, victim = DEATHS.get(start, (STEPS, None))
take_step = loop.Trainer._train_step

def take_step_or_die(trainer, *arguments):
    note = folder / f"first-{{start}}-{{rank}}"
    if not note.exists():
        note.write_text(str(trainer.position.step))
    if trainer.position.step == last:
        trainer.save()
        torch.distributed.barrier()
        if rank == victim:
            os.kill(os.getpid(), signal.SIGKILL)
    return take_step(trainer, *arguments)

loop.Trainer._train_step = take_step_or_die
train(Session(TINY, (folder / "data",), folder / f"run{{rank}}", Schedule(steps=STEPS), device="cpu"))
"""


@pytest.mark.long
def test_processes_that_die_cost_nothing_but_time(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    Image.fromarray(skimage.data.astronaut()[:200, :200]).save(data / "a.png")
    script = tmp_path / "rank.py"
    script.write_text(SCRIPT.format(folder=str(tmp_path)))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    subprocess.run(
        [*torchrun, "--nproc-per-node=2", f"--max-restarts={len(DEATHS)}", script],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        check=True,
        timeout=600,
    )
    first = {path.name: int(path.read_text()) for path in tmp_path.glob("first-*")}
    begun = [0, *(step for step, _ in DEATHS.values())]
    assert first == {
        f"first-{start}-{rank}": begun[start] for start in range(len(begun)) for rank in (0, 1)
    }
    state = torch.load(tmp_path / "run0" / "checkpoint.pt", weights_only=True)
    assert state["position"]["step"] == STEPS
    card = json.loads((tmp_path / "run0" / "gained.json").read_text())
    # Both ranks, every step, none twice.
    assert card["training"][-1]["samples"] == STEPS * 2 * 2
