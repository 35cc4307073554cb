"""A training run from pictures to weights and card: one with an end, a trunk without, or a branch of it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vrcodec.catalog import encoder_path, same_folder
from vrcodec.errors import CorruptError, OutputError, UsageError, VrcError
from vrcodec.models.device import resolve_device
from vrcodec.models.weights import load_description, load_frozen_state, load_size
from vrcodec.picture.folders import find_pictures
from vrcodec.training.checkpoint import CHECKPOINT, State, locked, read_checkpoint
from vrcodec.training.data import CropSampler, filter_by_side, load_pictures
from vrcodec.training.distributed import ProcessGroup
from vrcodec.training.evaluation import HeldOut
from vrcodec.training.export import export_model
from vrcodec.training.initialisation import initialise, load_transforms, put_coarse_means
from vrcodec.training.log import Log, Record
from vrcodec.training.log_plots import plot_log, plot_search
from vrcodec.training.loop import Trainer, never
from vrcodec.training.reach_search import ReachSearch, begin_search, is_searching
from vrcodec.training.recipes import Recipe
from vrcodec.training.schedule import Position, Schedule

# The central part of a held-out picture is cut to a multiple of 16 pixels.
_MIN_HELD_OUT = 16

_SEARCH_LOG = "schedule.csv"

_CALL_COLUMNS = ("ended", "device", "batch", "step", "samples", "of_this_call", "hours", "held_out")


@dataclass(frozen=True)
class Session:
    """Options of a training run; see `vrcodec train --help`.

    ``overrides``: fields of the recipe that were asked for; they count also where a run goes on, whose other
    settings are those that it began with. ``trunk``: the folder of which this is a branch.
    ``lambda_scheduling``: begin with a search for the reach of the widths. ``say`` takes messages for the user;
    ``stop`` is asked before each step whether to end early.
    """

    recipe: Recipe
    data: tuple[Path, ...]
    folder: Path
    schedule: Schedule
    overrides: Mapping[str, Any] = field(default_factory=dict)
    resume: bool = False
    init: Path | None = None
    transforms: Path | None = None
    trunk: Path | None = None
    eval_folder: Path | None = None
    lambda_scheduling: bool = False
    device: str = "auto"
    seed: int = 0
    say: Callable[[str], None] = print
    stop: Callable[[], bool] = never


def train(session: Session) -> None:
    """Run ``session``. Rank 0 leaves checkpoint, logs, plot, weights and card in its folder.

    A trunk leaves no weights, since its learning rate does not come down: a branch does.
    """
    resume = _prepare_folder(session)
    with (
        ProcessGroup.join(str(resolve_device(session.device))) as group,
        nullcontext() if group.rank else locked(session.folder),
    ):
        _train(session, group.broadcast(resume), group)


def _train(session: Session, resume: bool, group: ProcessGroup) -> None:
    device = _rank_device(session.device, group)
    pictures = _load_folders(session, session.data)
    trainer = _make_trainer(session, resume, device, group, pictures)
    pictures = filter_by_side(pictures, trainer.recipe.crop)
    sampler = CropSampler(pictures, trainer.recipe.crop, device, trainer.recipe.graphics)
    first = group.rank == 0
    log = Log(session.folder / "log.csv" if first else None, session.say)
    if log.record:
        log.record.forget_after(trainer.position.step)
    held_out = _held_out(session, trainer.position.step) if first else None
    search = _reach_search(session, trainer, held_out, log.say)
    before = trainer.position
    try:
        trainer.run(sampler, session.schedule, log, held_out, session.stop, search)
    except BaseException:
        trainer.save()
        raise
    if first and session.schedule.shape == "constant":
        _record_call(trainer, session, before, held_out)
    elif first and not session.stop():
        _finish(trainer, session, pictures)


def _prepare_folder(session: Session) -> bool:
    """Create the output folder; returns whether there is a run in it that is to go on.

    Raises OutputError where there is one that is not, or weights that the run would replace; UsageError for the
    folder of the trunk that it branches off.
    """
    if session.trunk and same_folder(session.folder, session.trunk):
        raise UsageError(f"{session.folder}: is the trunk itself; name another folder with -o")
    try:
        session.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{session.folder}: cannot be created: {error.strerror}") from error
    exists = os.path.exists(session.folder / CHECKPOINT)
    if session.schedule.shape == "constant" or _is_restart():
        return exists
    if exists and not session.resume:
        raise OutputError(
            f"{session.folder}: holds a run already; add --resume to go on with it, or name another "
            "folder with -o"
        )
    if not exists:
        _check_no_weights(session.folder / f"{session.recipe.model}.safetensors")
    return session.resume


def _check_no_weights(weights: Path) -> None:
    """Raise OutputError where a run would replace weights that are not its own."""
    for path in (weights, encoder_path(weights), weights.with_suffix(".json")):
        if os.path.lexists(path):
            raise OutputError(f"{path}: exists already; name another folder with -o")


def _is_restart() -> bool:
    """Whether torchrun has restarted the processes, because one of them had died."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0


def _make_trainer(
    session: Session, resume: bool, device: str, group: ProcessGroup, pictures: list[Tensor]
) -> Trainer:
    """A trainer that goes on with a run, branches off a trunk, or begins anew."""
    source = session.folder if resume else session.trunk
    if source is None:
        recipe = replace(session.recipe, **session.overrides)
        trainer = Trainer(recipe, session.folder, device, group, session.seed)
        trainer.sources = _sources(session)
        _initialise(trainer, session, filter_by_side(pictures, recipe.crop))
        if session.lambda_scheduling:
            begin_search(trainer)
        return trainer
    state = read_checkpoint(source, device, group)
    if state is None:
        raise UsageError(f"{source / CHECKPOINT}: there is no checkpoint to go on with")
    saved = _saved_recipe(state, source, session, resume)
    recipe = replace(saved, **session.overrides)
    trainer = Trainer(recipe, session.folder, device, group, session.seed)
    trainer.load(state)
    if session.lambda_scheduling and trainer.search is None:
        raise UsageError(
            f"{source}: this run began without --schedule; leave it out, or begin another run"
        )
    # A checkpoint of before they were kept has none.
    before = trainer.sources = trainer.sources or _sources(session)
    if not resume:
        trainer.branch(_stage(trainer, saved))
    trainer.sources = _sources(session, before if resume else None)
    return trainer


def _sources(session: Session, before: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What a stage learns from, for the card: that of ``before``, whose pictures may have become more."""
    data = [folder.name for folder in session.data]
    if before:
        return {**before, "data": list(dict.fromkeys([*before["data"], *data]))}
    weights = {"init": session.init, "transforms": session.transforms}
    return {"data": data} | {name: path.name for name, path in weights.items() if path}


def _saved_recipe(state: State, source: Path, session: Session, resume: bool) -> Recipe:
    """The recipe of a saved run. Raises UsageError where that run is another one."""
    try:
        recipe, shape = Recipe.from_dict(state["recipe"]), state["shape"]
    except (KeyError, TypeError) as error:
        raise CorruptError(
            f"{source / CHECKPOINT}: this checkpoint is of another version"
        ) from error
    expected = session.schedule.shape if resume else "constant"
    if shape != expected:
        kinds = {
            "constant": "a trunk: name it with --trunk, or branch off it with --branch",
            "decay": "a branch: go on with it by --branch and --resume",
            "cosine": "a run with an end: go on with it by --resume",
        }
        raise UsageError(f"{source}: holds {kinds[shape]}")
    if session.overrides.get("learns", recipe.learns) != recipe.learns:
        raise UsageError(
            f"{source}: what learns stays what it was when the run began; leave out --only"
        )
    if session.overrides.get("coarse_means", recipe.coarse_means) != recipe.coarse_means:
        raise UsageError(f"{source}: this run has begun without them; leave out --coarse-means")
    if session.overrides.get("optimizer", recipe.optimizer) != recipe.optimizer:
        raise UsageError(
            f"{source}: this run goes on with {recipe.optimizer}; leave out --optimizer"
        )
    if recipe.model != session.recipe.model:
        raise UsageError(f"{source}: holds a run of {recipe.model}, not of {session.recipe.model}")
    return recipe


def _held_out(session: Session, step: int) -> HeldOut | None:
    if session.eval_folder is None:
        return None
    pictures = filter_by_side(_load_folders(session, (session.eval_folder,)), _MIN_HELD_OUT)
    held_out = HeldOut(session.folder / "eval.csv", pictures, session.say)
    held_out.record.forget_after(step)
    return held_out


def _reach_search(
    session: Session, trainer: Trainer, held_out: HeldOut | None, say: Callable[[str], None]
) -> ReachSearch | None:
    """The search that the run is in, if it is. Raises UsageError where it has nothing to measure on."""
    if not is_searching(trainer):
        return None
    if session.eval_folder is None:
        raise UsageError(
            "a search for the reach of widths measures on held-out pictures: name a folder of them with --eval"
        )
    if held_out is None:
        return ReachSearch([], None, say)
    record = Record(session.folder / _SEARCH_LOG, ReachSearch.COLUMNS, say)
    record.forget_after(trainer.position.step)
    return ReachSearch(held_out.pictures, record, say)


def _load_folders(session: Session, folders: tuple[Path, ...]) -> list[Tensor]:
    def leave_out(error: VrcError) -> None:
        session.say(f"left out: {error}")

    return load_pictures(find_pictures(folders, leave_out), leave_out)


def _rank_device(name: str, group: ProcessGroup) -> str:
    device = str(resolve_device(name))
    return f"cuda:{group.local_rank}" if device == "cuda" and group.world_size > 1 else device


def _initialise(trainer: Trainer, session: Session, pictures: list[Tensor]) -> None:
    """Set the initial weights of ``trainer``, and the training history of these weights."""
    if trainer.recipe.learns != "all":
        _start_beside_others(trainer, session)
    initialise(trainer, session.init, pictures, session.seed)
    if session.transforms:
        load_transforms(trainer, session.transforms)
    if trainer.recipe.coarse_means:
        put_coarse_means(trainer, pictures)
    # The history is that of the transforms, where most of the training went.
    trainer.history = _weights_history(session.transforms or session.init)


def _start_beside_others(trainer: Trainer, session: Session) -> None:
    """Check that a part that learns alone has the others, and take over the tables, unless it changes symbols.

    Raises UsageError.
    """
    if session.init is None or session.transforms:
        raise UsageError(
            "a part learns alone beside the others of finished weights: name these with --init, and leave out "
            "--transforms"
        )
    if load_description(session.init)["family"] != trainer.recipe.family:
        raise UsageError(
            f"{session.init}: a part of {trainer.recipe.family} learns alone beside the others of weights of "
            "that family"
        )
    if load_size(session.init) != trainer.recipe.size:
        raise UsageError(f"{session.init}: weights of another size than this recipe's")
    if trainer.recipe.keeps_tables:
        trainer.model.load_state_dict(load_frozen_state(session.init), strict=False)


def _weights_history(weights: Path | None) -> list[dict[str, Any]]:
    if weights is None:
        return []
    try:
        history: list[dict[str, Any]] = json.loads(weights.with_suffix(".json").read_text())[
            "training"
        ]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        history = []
    return history if isinstance(history, list) and history else [{"start": weights.name}]


def _finish(trainer: Trainer, session: Session, pictures: list[Tensor]) -> None:
    path = export_model(
        trainer.averaged_model(),
        session.folder,
        [*trainer.history, _stage(trainer, trainer.recipe)],
        pictures,
        crops=trainer.recipe.calibration_crops,
        name=trainer.recipe.name,
        version=trainer.recipe.version,
        keep_tables=trainer.recipe.keeps_tables,
    )
    # A run of a few steps has logged none.
    for name, plot in (("log.csv", plot_log), (_SEARCH_LOG, plot_search)):
        log = session.folder / name
        if log.exists():
            _draw(plot, log, session.say)
    position = trainer.position
    session.say(f"{path}: {position.step} steps, {position.samples} samples")


def _draw(plot: Callable[[Path, Path], None], log: Path, say: Callable[[str], None]) -> None:
    """Draw ``log`` beside it. What cannot be drawn costs a message, not the run."""
    picture = log.with_suffix(".png")
    try:
        plot(log, picture)
    except (OSError, ValueError) as error:
        say(f"{picture}: was not drawn: {error}")


def _stage(trainer: Trainer, recipe: Recipe) -> dict[str, Any]:
    """The present stage of ``trainer``, with ``recipe``, for the card."""
    now, origin = trainer.position, trainer.origin
    sources = dict(trainer.sources)
    stage = {
        "family": recipe.family,
        "data": sources.pop("data"),
        "crop": recipe.crop,
        "graphics": recipe.graphics,
        "batch": recipe.batch * trainer.group.world_size,
        "optimizer": recipe.optimizer,
        "tune": recipe.tune,
        "schedule": trainer.shape,
        "learning_rate": recipe.learning_rate,
        "steps": now.step - origin.step,
        "samples": now.samples - origin.samples,
        "hours": round((now.seconds - origin.seconds) / 3600, 3),
        "device": _describe_device(trainer.device, trainer.group),
    }
    if recipe.learns != "all":
        stage["learns"] = recipe.learns
    if trainer.latents:
        kept = trainer.latents.steps * recipe.batch * trainer.group.world_size
        stage["distinct_crops"] = min(kept, now.samples - origin.samples)
    if recipe.coarse_means:
        stage["coarse_means"] = True
    if trainer.search is not None:
        stage["lambda_scheduling"] = True
    return stage | sources


def _record_call(
    trainer: Trainer, session: Session, before: Position, held_out: HeldOut | None
) -> None:
    """Append a row for this process to the trunk's ``calls.csv``."""
    now, batch = trainer.position, trainer.recipe.batch * trainer.group.world_size
    loss = held_out.loss if held_out else None
    values = (
        datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M"),
        _describe_device(trainer.device, trainer.group),
        batch,
        now.step,
        now.samples,
        now.samples - before.samples,
        f"{(now.seconds - before.seconds) / 3600:.2f}",
        "" if loss is None else f"{loss:.4f}",
    )
    record = Record(session.folder / "calls.csv", _CALL_COLUMNS, session.say)
    record.add(values)
    session.say(f"{session.folder}: {now.step} steps, {now.samples} samples")


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
