"""A training run from pictures to weights and card."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vrcodec.errors import OutputError
from vrcodec.models.device import resolve_device
from vrcodec.picture.folders import find_pictures
from vrcodec.training.data import CropSampler, filter_by_side, load_pictures
from vrcodec.training.distributed import ProcessGroup
from vrcodec.training.evaluation import evaluate
from vrcodec.training.export import export_model
from vrcodec.training.initialisation import initialise, load_transforms
from vrcodec.training.loop import CHECKPOINT, Budget, Log, Trainer
from vrcodec.training.loss_plot import plot_log
from vrcodec.training.recipes import Recipe

# The central part of a held-out picture is cut to a multiple of 16 pixels.
_MIN_HELD_OUT = 16


@dataclass(frozen=True)
class Session:
    """Options of a training run; see `vrcodec train --help`. ``say`` takes messages for the user."""

    recipe: Recipe
    data: tuple[Path, ...]
    folder: Path
    minutes: float | None = None
    steps: int | None = None
    pause_minutes: float | None = None
    resume: bool = False
    init: Path | None = None
    transforms: Path | None = None
    eval_folder: Path | None = None
    device: str = "auto"
    seed: int = 0
    say: Callable[[str], None] = print


def train(session: Session) -> None:
    """Run ``session``. Rank 0 leaves checkpoint, logs, plot, weights and card in its folder."""
    budget = Budget(session.minutes, session.steps, session.pause_minutes)
    restarted = _is_restart()
    _prepare_folder(session, restarted)
    with ProcessGroup.join(str(resolve_device(session.device))) as group:
        device = _rank_device(session.device, group)
        pictures = filter_by_side(_load_folders(session, session.data), session.recipe.crop)
        trainer = Trainer(session.recipe, session.folder, device, group, session.seed)
        resume = session.resume or (restarted and (session.folder / CHECKPOINT).exists())
        history = _initialise(trainer, session, group.broadcast(resume), pictures)
        # Crops differ between ranks, and after a resume from those seen before it.
        seed = (session.seed * 1000 + trainer.step) * 1000 + group.rank
        torch.manual_seed(seed)
        sampler = CropSampler(pictures, session.recipe.crop, seed, device)
        log = Log(session.folder / "log.csv" if group.rank == 0 else None, session.say)
        held_out: list[Tensor] = []
        if session.eval_folder and group.rank == 0:
            held_out = filter_by_side(_load_folders(session, (session.eval_folder,)), _MIN_HELD_OUT)
        evaluator = _Evaluator(session.folder / "eval.csv", held_out, session.say)
        try:
            trainer.run(sampler, budget, log, evaluator if held_out else None)
        finally:
            # Also when the user interrupts.
            trainer.save()
        if group.rank == 0:
            _finish(trainer, session, history, pictures)


def _is_restart() -> bool:
    """Whether torchrun has restarted the processes, because one of them had died."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0


def _prepare_folder(session: Session, restarted: bool) -> None:
    """Create the output folder. Raises OutputError where there is a run to resume, unless this continues it."""
    try:
        session.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{session.folder}: cannot be created: {error.strerror}") from error
    if not session.resume and not restarted and (session.folder / CHECKPOINT).exists():
        raise OutputError(
            f"{session.folder}: holds a run already; add --resume to go on with it, or name another "
            "folder with -o"
        )


def _load_folders(session: Session, folders: tuple[Path, ...]) -> list[Tensor]:
    return load_pictures(find_pictures(folders), lambda error: session.say(f"left out: {error}"))


def _rank_device(name: str, group: ProcessGroup) -> str:
    device = str(resolve_device(name))
    return f"cuda:{group.local_rank}" if device == "cuda" and group.world_size > 1 else device


def _initialise(
    trainer: Trainer, session: Session, resume: bool, pictures: list[Tensor]
) -> list[dict[str, Any]]:
    """Set the initial weights of ``trainer``; returns the training history of these weights."""
    if resume:
        trainer.resume()
        return _read_history(session.folder / "history.json")
    initialise(trainer, session.init, pictures, session.seed)
    if session.transforms:
        load_transforms(trainer, session.transforms)
    # The history is that of the transforms, where most of the training went.
    history = _weights_history(session.transforms or session.init)
    if trainer.group.rank == 0:
        (session.folder / "history.json").write_text(json.dumps({"training": history}))
    return history


def _weights_history(weights: Path | None) -> list[dict[str, Any]]:
    if weights is None:
        return []
    card = weights.with_suffix(".json")
    return _read_history(card) if card.exists() else [{"start": weights.name}]


def _read_history(path: Path) -> list[dict[str, Any]]:
    try:
        history: list[dict[str, Any]] = json.loads(path.read_text())["training"]
    except (OSError, ValueError, KeyError):
        return []
    return history


def _finish(
    trainer: Trainer, session: Session, history: list[dict[str, Any]], pictures: list[Tensor]
) -> None:
    stage = {
        "family": trainer.recipe.family,
        "data": [folder.name for folder in session.data],
        "crop": trainer.recipe.crop,
        "batch": trainer.recipe.batch * trainer.group.world_size,
        "optimizer": trainer.recipe.optimizer,
        "learning_rate": trainer.recipe.learning_rate,
        "steps": trainer.step,
        "samples": trainer.samples,
        "hours": round(trainer.seconds / 3600, 3),
        "device": _describe_device(trainer.device, trainer.group),
    }
    sources = {"init": session.init, "transforms": session.transforms}
    stage |= {name: path.name for name, path in sources.items() if path}
    path = export_model(
        trainer.averaged_model(),
        session.folder,
        [*history, stage],
        pictures,
        crops=trainer.recipe.calibration_crops,
    )
    plot_log(session.folder / "log.csv", session.folder / "log.png")
    session.say(f"{path}: {trainer.step} steps, {trainer.samples} samples")


def _describe_device(device: str, group: ProcessGroup) -> str:
    """The device, for the card: "CPU, 2 threads"; "CPU, 2 processes of 1 thread"."""
    if device.startswith("cuda"):
        name, each = torch.cuda.get_device_name(device), ""
    else:
        count = torch.get_num_threads()
        name, each = "CPU", f"{count} thread{'s' if count > 1 else ''}"
    if group.world_size > 1:
        each = f"{group.world_size} processes" + (f" of {each}" if each else "")
    return ", ".join(filter(None, (name, each)))


class _Evaluator:
    """Appends one row per rate to a CSV each time it is called."""

    def __init__(self, path: Path, pictures: list[Tensor], say: Callable[[str], None]) -> None:
        self._path = path
        self._pictures = pictures
        self._say = say

    def __call__(self, trainer: Trainer) -> None:
        points = evaluate(trainer.averaged_model(), self._pictures, trainer.device)
        if not self._path.exists():
            self._path.write_text("step,samples,width,rate,loss,bpp,psnr\n")
        with self._path.open("a") as file:
            for p in points:
                row = f"{p.width or ''},{p.rate},{p.loss:.4f},{p.bpp:.4f},{p.psnr:.3f}"
                file.write(f"{trainer.step},{trainer.samples},{row}\n")
        mean = sum(p.loss for p in points) / len(points)
        self._say(f"step {trainer.step} held-out loss {mean:.4f}")
