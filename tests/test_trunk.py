"""A run without an end: gone on with, branched off, killed, and short of room."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import skimage.data
import torch
from PIL import Image

from tests.conftest import GOLDEN, ROOT
from tests.extent import extent
from tests.recipes import TINY, pictures, rows, save_pictures, tensors, trainer_in
from vrcodec import files
from vrcodec.errors import OutputError
from vrcodec.training import loop
from vrcodec.training.checkpoint import locked, read_checkpoint, write_checkpoint
from vrcodec.training.data import CropSampler
from vrcodec.training.distributed import ProcessGroup
from vrcodec.training.log import Log
from vrcodec.training.schedule import Schedule

Train = Callable[..., int]

# Trains a tiny model without an end; a checkpoint behind every step.
TRUNK = """
import sys, torch
from pathlib import Path
from tests.recipes import TINY
from vrcodec.cli.main import main
from vrcodec.training import loop, recipes

torch.set_num_threads(1)
loop._SAVE_SECONDS = 0.0
recipes._RECIPES["gained"] = TINY
sys.argv[1:3] = ["train", "gained", "--data", sys.argv[1], "--trunk", sys.argv[2]]
main()
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pictures(tmp_path_factory.mktemp("data"))


@pytest.fixture
def train(data: Path, monkeypatch: pytest.MonkeyPatch) -> Train:
    """The command, with a tiny recipe of `gained`."""
    from vrcodec.cli.main import run
    from vrcodec.training import recipes

    monkeypatch.setitem(recipes._RECIPES, "gained", TINY)
    common = ["train", "gained", "--data", str(data), "--device", "cpu", "-q"]
    return lambda *arguments: run([*common, *map(str, arguments)])


def are_equal(one: Path, other: Path) -> bool:
    pairs = zip(tensors(one), tensors(other), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_one_command_begins_and_goes_on_to_the_bit(
    train: Train, data: Path, tmp_path: Path
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert train("--trunk", whole, "--steps", 5, "--batch", 3) == 0
    # What the run began with need not be said again.
    assert train("--trunk", parts, "--steps", 2, "--batch", 3, "--eval", data) == 0
    assert train("--trunk", parts, "--steps", 3, "--eval", data) == 0
    assert are_equal(whole, parts)
    calls = rows(parts / "calls.csv")
    assert [(row["step"], row["samples"], row["of_this_call"]) for row in calls] == [
        ("2", "6", "6"),
        ("5", "15", "9"),
    ]
    assert all(0 < float(row["held_out"]) < float("inf") for row in calls)
    assert not list(parts.glob("*.safetensors"))


def test_what_is_asked_for_counts_from_then_on(train: Train, tmp_path: Path) -> None:
    assert train("--trunk", tmp_path, "--steps", 1) == 0
    assert train("--trunk", tmp_path, "--steps", 1, "--batch", 5, "--learning-rate", 1e-5) == 0
    state = read_checkpoint(tmp_path, "cpu", ProcessGroup())
    assert state is not None
    assert state["position"]["samples"] == TINY.batch + 5
    assert (state["recipe"]["batch"], state["recipe"]["learning_rate"]) == (5, 1e-5)


def test_a_branch_makes_weights_and_leaves_the_trunk_alone(train: Train, tmp_path: Path) -> None:
    trunk, branch = tmp_path / "trunk", tmp_path / "branch"
    assert train("--trunk", trunk, "--steps", 4) == 0
    before = {path: path.read_bytes() for path in trunk.iterdir()}
    arguments = ("--branch", trunk, "-o", branch, "--steps", 3)
    assert train(*arguments, "--pause", 0) == 0
    assert train(*arguments) == 9
    assert train(*arguments, "--resume") == 0
    assert {path: path.read_bytes() for path in trunk.iterdir()} == before
    stages = json.loads((branch / "gained.json").read_text())["training"]
    assert [(s["schedule"], s["steps"], s["samples"]) for s in stages] == [
        ("constant", 4, 8),
        ("decay", 3, 6),
    ]
    state = read_checkpoint(branch, "cpu", ProcessGroup())
    assert state is not None
    # The last of three steps.
    last = TINY.learning_rate * (1 - (2 / 3) ** 0.5)
    assert state["optimizers"][0]["param_groups"][0]["lr"] == pytest.approx(last)
    # The trunk goes on from where it was.
    assert train("--trunk", trunk, "--steps", 1) == 0


def test_the_card_tells_what_each_stage_learnt_from(
    train: Train, data: Path, tmp_path: Path
) -> None:
    trunk, branch = tmp_path / "trunk", tmp_path / "branch"
    (tmp_path / "other").mkdir()
    other = save_pictures(tmp_path / "other")
    start = GOLDEN / "gained.safetensors"
    assert train("--trunk", trunk, "--steps", 1, "--init", start, "--batch", 3) == 0
    arguments = ("--branch", trunk, "-o", branch, "--steps", 2, "--data", other)
    assert train(*arguments, "--pause", 0, "--batch", 1, "--learning-rate", 1e-5) == 0
    assert train(*arguments, "--resume") == 0
    stages = json.loads((branch / "gained.json").read_text())["training"][-2:]
    keys = ("data", "init", "batch", "learning_rate")
    assert [tuple(stage.get(key) for key in keys) for stage in stages] == [
        ([data.name], start.name, 3, TINY.learning_rate),
        ([data.name, "other"], None, 1, 1e-5),
    ]


def test_a_trunk_from_before_sources_were_kept_can_be_branched(
    train: Train, tmp_path: Path
) -> None:
    trunk = tmp_path / "trunk"
    assert train("--trunk", trunk, "--steps", 1) == 0
    state = read_checkpoint(trunk, "cpu", ProcessGroup())
    assert state is not None
    del state["sources"]
    write_checkpoint(trunk, state)
    assert train("--branch", trunk, "-o", tmp_path / "branch", "--steps", 1) == 0


def test_runs_of_one_kind_are_not_taken_for_another(train: Train, tmp_path: Path) -> None:
    trunk, run = tmp_path / "trunk", tmp_path / "run"
    assert train("--trunk", trunk, "--steps", 1) == 0
    assert train("-o", run, "--steps", 1) == 0
    for arguments in (
        ("--trunk", run, "--steps", 1),
        ("--branch", run, "-o", tmp_path / "a", "--steps", 1),
        ("-o", trunk, "--resume", "--steps", 2),
        ("--trunk", trunk, "--resume"),
        ("--trunk", trunk, "--branch", trunk),
        ("--branch", trunk, "-o", tmp_path / "b"),
        ("--branch", trunk, "--init", trunk / "checkpoint.pt", "-o", tmp_path / "c", "--steps", 1),
        ("--branch", tmp_path / "nothing", "-o", tmp_path / "d", "--steps", 1),
        ("--branch", trunk, "-o", trunk / "." / "", "--resume", "--steps", 1),
    ):
        assert train(*arguments) == 2, arguments
    assert train("--trunk", trunk, "--steps", 1) == 0


def test_another_family_does_not_go_on(train: Train, data: Path, tmp_path: Path) -> None:
    from vrcodec.cli.main import run

    assert train("--trunk", tmp_path, "--steps", 1) == 0
    command = ["train", "slim", "--data", str(data), "--trunk", str(tmp_path), "--steps", "1", "-q"]
    assert run(command) == 2


def test_a_full_disk_costs_no_checkpoint(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run goes on; at its end it says what could not be kept. What was there before is still there."""
    trainer = trainer_in(tmp_path)
    sampler = CropSampler(pictures(data), 64, "cpu")
    trainer.run(sampler, Schedule(steps=2, shape="constant"), Log(None, print))
    before = (tmp_path / "checkpoint.pt").read_bytes()

    def no_room(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    said: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(files.os, "write", no_room)
        patch.setattr(loop, "_SAVE_SECONDS", 0.0)
        log = Log(tmp_path / "log.csv", said.append)
        with pytest.raises(OutputError, match="No space left"):
            trainer.run(sampler, Schedule(steps=3, shape="constant"), log)
    assert trainer.position.step == 5
    assert sum("tried again" in line for line in said) == 3
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


@pytest.mark.long
def test_killed_at_any_moment_it_goes_on(data: Path, tmp_path: Path) -> None:
    """As one that was never killed, from the last step that it has kept."""
    rng = random.Random(0)
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    for _ in range(extent(2, 8)):
        process = start_trunk(data, killed)
        wait_for_steps(process)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=rng.uniform(0, 1))
        process.kill()
        process.wait()
    assert {path.name for path in killed.iterdir()} <= {".lock", "checkpoint.pt", "log.csv"}
    state = read_checkpoint(killed, "cpu", ProcessGroup())
    assert state is not None
    steps = str(state["position"]["step"])
    assert start_trunk(data, whole, "--steps", steps).wait() == 0
    assert are_equal(killed, whole)


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_end_it_keeps_every_step(data: Path, tmp_path: Path, number: int) -> None:
    process = start_trunk(data, tmp_path / "run", "-v")
    wait_for_steps(process)
    process.send_signal(number)
    assert process.wait(timeout=60) == 128 + number
    assert process.stderr is not None
    assert "Traceback" not in process.stderr.read()
    steps = [int(row["step"]) for row in rows(tmp_path / "run" / "calls.csv")]
    state = read_checkpoint(tmp_path / "run", "cpu", ProcessGroup())
    assert state is not None
    assert steps == [state["position"]["step"]]


def start_trunk(data: Path, folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", TRUNK, str(data), str(folder), "--device", "cpu", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_steps(process: subprocess.Popen[str]) -> None:
    """Until it has said that it is at step 50, or another multiple of that."""
    assert process.stderr is not None
    for line in process.stderr:
        if "step" in line:
            return
    raise AssertionError("the process has ended")


def test_two_processes_do_not_share_a_folder(train: Train, tmp_path: Path) -> None:
    with locked(tmp_path):
        assert train("--trunk", tmp_path, "--steps", 1) == OutputError.exit_code
    assert train("--trunk", tmp_path, "--steps", 1) == 0


def test_rows_behind_the_checkpoint_are_not_kept(data: Path, tmp_path: Path) -> None:
    """A process that is killed has logged steps which the next one takes again."""
    log = Log(tmp_path / "log.csv", lambda line: None)
    row = ",1" * (len(Log.COLUMNS) - 1)
    # The last one is cut off where the disk was full.
    lines = [",".join(Log.COLUMNS), f"50{row}", f"100{row}", f"150{row}", "60,1"]
    (tmp_path / "log.csv").write_text("\n".join(lines))
    assert log.record is not None
    log.record.forget_after(100)
    assert (tmp_path / "log.csv").read_text().splitlines() == lines[:3]


def test_training_says_nothing_of_libraries(data: Path, tmp_path: Path) -> None:
    """Warnings at the import of what training needs do not reach the user."""
    large = tmp_path / "pictures"
    large.mkdir()
    Image.fromarray(skimage.data.astronaut()).save(large / "a.png")
    command = [sys.executable, "-m", "vrcodec", "train", "gained", "--small", "--batch", "1"]
    ended = subprocess.run(
        [*command, "--data", large, "--trunk", tmp_path / "run", "--steps", "1", "-q"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stderr == ""
