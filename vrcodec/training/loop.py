"""The training loop.

All random numbers of a step follow from the seed, the rank and the number of the step: a run that is resumed
from a checkpoint draws what it would have drawn without the interruption.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from vrcodec.errors import CorruptError, OutputError, UsageError, WeightsError
from vrcodec.models import FAMILIES, VariableRateModel
from vrcodec.models.device import mixed_precision
from vrcodec.models.families.qarv import Qarv
from vrcodec.models.families.slim import Slim
from vrcodec.models.learning.trainable import attach_training
from vrcodec.models.networks.module import initialised
from vrcodec.timing import stage
from vrcodec.training.checkpoint import CHECKPOINT, State, write_checkpoint
from vrcodec.training.data import CropSampler
from vrcodec.training.distributed import ProcessGroup
from vrcodec.training.kept_latents import Drawn, KeptLatents, keep_latents
from vrcodec.training.log import Log
from vrcodec.training.objectives import (
    Loss,
    choose_objective,
    patch_loss,
    stratified_levels,
)
from vrcodec.training.optim import (
    GradientGuard,
    WeightAverage,
    make_optimizers,
    set_learning_rate,
)
from vrcodec.training.recipes import LEARNING, Part, Recipe
from vrcodec.training.schedule import Position, Schedule, Shape, learning_rate_factor

_LOG_EVERY = 50
# What the loss of patches counts, beside that of crops.
_PATCH_WEIGHT = 0.25
_SAVE_SECONDS = 120.0
_EVALUATE_SECONDS = 600.0


def never() -> bool:
    """Whether to stop early: no."""
    return False


class Trainer:
    """One run: model, optimizers, average, and the checkpoint in ``folder``.

    ``position``: how far it has come; ``origin``: where its present stage began. ``history``: the stages before
    that, oldest first, for the card; ``sources``: what this one learns from, for the card. ``search``: what a
    search for the reach of widths keeps (`vrcodec.training.reach_search`).
    """

    def __init__(
        self, recipe: Recipe, folder: Path, device: str, group: ProcessGroup, seed: int
    ) -> None:
        self.recipe = recipe
        self.folder = folder
        self.device = device
        self.group = group
        self.seed = seed
        torch.manual_seed(seed)
        self.model = _new_model(recipe, device, seed).train()
        _let_learn(self.model, recipe.learns)
        self.inherited: set[str] = set()
        self.objective = choose_objective(self.model, recipe.tune)
        self.latents = keep_latents(self.model, self.objective, recipe)
        self.position = self.origin = Position()
        self.shape: Shape = "cosine"
        self.history: list[dict[str, Any]] = []
        self.sources: dict[str, Any] = {}
        self.search: dict[str, Any] | None = None
        self.optimizers = make_optimizers(self.model, recipe.optimizer, recipe.learning_rate, group)
        self.guard = GradientGuard(recipe.clip_norm, device)
        self._updating = False
        self.restart_average()

    def load_matching(self, state: dict[str, Tensor]) -> None:
        """Load every tensor of ``state`` that matches by name and shape; the others keep their initial values.

        Raises WeightsError when none matches.
        """
        present = self.model.state_dict()
        matching = {k: v for k, v in state.items() if k in present and present[k].shape == v.shape}
        if not matching:
            raise WeightsError("none of the tensors to start from fits this recipe's model")
        self.model.load_state_dict(matching, strict=False)
        parameters = {k for k, p in self.model.named_parameters() if p.requires_grad}
        # Without new parameters there is no reason to freeze the others.
        self.inherited = set(matching) & parameters if parameters - set(matching) else set()
        self.restart_average()

    def restart_average(self) -> None:
        """Restart the average at the present weights, after they were set from outside."""
        self.average = WeightAverage(self.model, self.recipe.ema)

    def set_reach(self, reach: Sequence[float]) -> None:
        """Set the reach of each width of a slimmable model, here and in the recipe, for the steps to come."""
        size = replace(self.recipe.size, reach=tuple(reach))
        self.recipe = replace(self.recipe, size=size)
        self.model.size = size
        self.objective = choose_objective(self.model, self.recipe.tune)

    def branch(self, stage: dict[str, Any]) -> None:
        """Begin a branch here, at the end of ``stage``; its average is to be that of its own weights."""
        self.shape = "decay"
        self.origin = self.position
        self.history = [*self.history, stage]
        self.restart_average()

    def run(
        self,
        sampler: CropSampler,
        schedule: Schedule,
        log: Log,
        evaluator: Callable[[Trainer], None] | None = None,
        stop: Callable[[], bool] = never,
        search: Callable[[Trainer], None] | None = None,
    ) -> None:
        """Train until the schedule or this process's share of it is used up or ``stop`` of rank 0 says so.

        ``evaluator`` is called every few minutes on rank 0, and at the end, unless it is ``stop`` that ends it;
        ``search`` behind each step, on every rank.
        """
        self.shape = schedule.shape
        self.group.broadcast_parameters(self.model)
        called = self.position
        begin = called if schedule.shape == "constant" else self.origin
        clock = time.perf_counter() - called.seconds
        saved = evaluated = called.seconds
        evaluator = None if self.group.rank else evaluator
        while True:
            now = time.perf_counter() - clock
            self.position = replace(self.position, seconds=now)
            pause = stop() or _is_over(schedule.pause_minutes, now - called.seconds)
            progress, pause = self._agree(schedule.progress(begin, self.position), pause)
            if progress >= 1 or pause:
                break
            loss, norm = self._train_step(sampler, progress)
            if self.position.step % _LOG_EVERY == 0:
                learning_rate = self.optimizers[0].param_groups[0]["lr"]
                log.add(self.position, loss, norm, learning_rate, self.guard.rejected)
            if search:
                search(self)
            if now - saved > _SAVE_SECONDS:
                self._save_if_possible(log.say)
                saved = now
            if evaluator and now - evaluated > _EVALUATE_SECONDS:
                evaluator(self)
                evaluated = now
        self.save()
        # Whoever asks for an end does not wait for an evaluation.
        if evaluator and not stop():
            evaluator(self)

    def _agree(self, progress: float, pause: bool) -> tuple[float, bool]:
        """What rank 0 says of both: all ranks must take the same steps."""
        if self.group.world_size == 1:
            return progress, pause
        state = torch.tensor([progress, float(pause)], dtype=torch.float64)
        dist.broadcast(state, 0)
        return float(state[0]), bool(state[1])

    def _train_step(self, sampler: CropSampler, progress: float) -> tuple[Loss, Tensor]:
        recipe, step = self.recipe, self.position.step
        factor = learning_rate_factor(
            self.shape, step, progress, recipe.warmup_steps, recipe.final_fraction
        )
        set_learning_rate(self.optimizers, recipe.learning_rate * factor)
        latents = self.latents
        loss, of_patches = (
            self._latent_losses(latents, sampler) if latents else self._losses(sampler)
        )
        total = loss.total if of_patches is None else loss.total + _PATCH_WEIGHT * of_patches
        with stage("backward"):
            total.backward()  # type: ignore[no-untyped-call]
        with stage("exchange"):
            self.group.average_gradients(self.model)
        self._freeze_inherited()
        with stage("norm"):
            reject, norm = self.guard.clip(self.model.parameters())
        with self.whole_update():
            for optimizer in self.optimizers:
                with stage(type(optimizer).__name__):
                    optimizer.found_inf = reject.float()  # type: ignore[attr-defined]
                    optimizer.step()
                    optimizer.zero_grad()
            with stage("average"):
                self.average.update(self.model)
            samples = self.position.samples + recipe.batch * self.group.world_size
            self.position = replace(self.position, step=step + 1, samples=samples)
        return loss, norm

    def _losses(self, sampler: CropSampler) -> tuple[Loss, Tensor | None]:
        """Of crops, and of patches if there are any."""
        drawn = self._draw(sampler, self.position.step)
        with stage("forward"), mixed_precision(torch.device(self.device)):
            loss = self.objective.loss(drawn.x, drawn.levels)
            if drawn.patches is None:
                return loss, None
            return loss, patch_loss(self.model, drawn.patches, drawn.patch_levels)

    def _latent_losses(
        self, latents: KeptLatents, sampler: CropSampler
    ) -> tuple[Loss, Tensor | None]:
        """The same, of latents that are kept."""
        step = self.position.step
        with mixed_precision(torch.device(self.device)):
            crops, patches = latents.at_step(step, partial(self._draw, sampler))
            # Noise is new in each step, also where crops are not.
            self._seed_step(step)
            with stage("forward"):
                loss = latents.loss(crops)
                return loss, latents.loss(patches).total if patches else None

    def _draw(self, sampler: CropSampler, step: int) -> Drawn:
        """What ``step`` draws."""
        with stage("data"):
            random, count = self._seed_step(step), self.recipe.batch
            levels = self.objective.draw_levels(count)
            x = sampler.batch(levels.amax(1).tolist(), random)
            levels = levels.to(self.device, non_blocking=True)
            patches = sampler.patches(count, random)
            patch_levels = stratified_levels(count).to(self.device, non_blocking=True)
            return Drawn(x, levels, patches, patch_levels)

    @contextmanager
    def whole_update(self) -> Iterator[None]:
        """What changes more than one part of the run: a checkpoint written within it would hold half of that.

        So there is none from then on where it is broken off.
        """
        self._updating = True
        yield
        self._updating = False

    def _seed_step(self, step: int) -> np.random.Generator:
        """Random numbers for the crops of ``step``; those of PyTorch are seeded, too."""
        random = np.random.default_rng((self.seed, self.group.rank, step))
        torch.manual_seed(int(random.integers(2**63)))
        return random

    def _freeze_inherited(self) -> None:
        if not self.inherited:
            return
        if self.position.step >= self.recipe.frozen_steps:
            self.inherited = set()
            self.guard.forget()
            return
        for name, parameter in self.model.named_parameters():
            if name in self.inherited:
                parameter.grad = None

    def save(self) -> None:
        """Write the checkpoint, on rank 0 only. Raises OutputError.

        Where a step was broken off in the middle of its update, the checkpoint before stays.
        """
        if self.group.rank or self._updating:
            return
        state = {
            "recipe": asdict(self.recipe),
            "seed": self.seed,
            "shape": self.shape,
            "history": self.history,
            "sources": self.sources,
            "position": asdict(self.position),
            "origin": asdict(self.origin),
            "model": self.model.state_dict(),
            "average": self.average.state(),
            "optimizers": [o.state_dict() for o in self.optimizers],
            "guard": self.guard.state(),
            "inherited": sorted(self.inherited),
            "search": self.search,
        }
        write_checkpoint(self.folder, state)

    def _save_if_possible(self, say: Callable[[str], None]) -> None:
        try:
            self.save()
        except OutputError as error:
            say(f"{error}; training goes on, and the checkpoint is tried again later")

    def load(self, state: State) -> None:
        """Continue from ``state``, as `save` has written it. Raises CorruptError when it does not fit."""
        try:
            self.model.load_state_dict(state["model"])
            self.average.load(state["average"])
            for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
                optimizer.load_state_dict(saved)
            self.guard.load(state["guard"])
            self.inherited = set(state["inherited"])
            self.position = Position(**state["position"])
            self.origin = Position(**state["origin"])
            self.seed, self.shape = state["seed"], state["shape"]
            self.history = state["history"]
            # Checkpoints of before there were these lack them.
            self.search, self.sources = state.get("search"), state.get("sources", {})
        except (RuntimeError, KeyError, ValueError, TypeError) as error:
            raise CorruptError(
                f"{CHECKPOINT}: this checkpoint does not fit the recipe: {error}"
            ) from error

    def averaged_model(self) -> VariableRateModel:
        """A copy of the model with the averaged weights, in evaluation mode, on the CPU."""
        model = _new_model(self.recipe, "cpu", self.seed)
        state = self.model.state_dict() | self.average.weights
        model.load_state_dict({k: v.cpu() for k, v in state.items()})
        return model.eval()


def _new_model(recipe: Recipe, device: str, seed: int) -> VariableRateModel:
    """A model with random weights, on ``device``."""
    with initialised(seed):
        model = FAMILIES[recipe.family](recipe.size)
        attach_training(model, device)
    return model


def _let_learn(model: VariableRateModel, part: Part) -> None:
    """Give gradients to ``part`` of ``model`` alone. Raises UsageError where its parts are not apart."""
    if part != "all" and isinstance(model, Slim):
        raise UsageError(f"{model.family} learns as a whole: its tensors hold all widths")
    if part == "prior" and isinstance(model, Qarv):
        raise UsageError(f"the encoder of {model.family} goes by what its prior knows: train both")
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(LEARNING[part]))


def _is_over(minutes: float | None, seconds: float) -> bool:
    return minutes is not None and seconds >= 60 * minutes
