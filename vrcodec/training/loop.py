"""The training loop, its budget, checkpoints and log.

The budget is in minutes or steps, and the learning rate a function of the share of it that is used up, so
that a resumed run follows the same schedule as one without an interruption.
"""

from __future__ import annotations

import io
import pickle
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from vrcodec.errors import CorruptError, UsageError, WeightsError
from vrcodec.models import FAMILIES, VariableRateModel
from vrcodec.models.device import mixed_precision
from vrcodec.training.data import CropSampler
from vrcodec.training.distributed import ProcessGroup
from vrcodec.training.objectives import Loss, choose_objective
from vrcodec.training.optim import (
    GradientGuard,
    WeightAverage,
    learning_rate_factor,
    make_optimizers,
    set_learning_rate,
)
from vrcodec.training.recipes import Recipe

CHECKPOINT = "checkpoint.pt"
_LOG_EVERY = 50
_SAVE_SECONDS = 120.0
_EVALUATE_SECONDS = 600.0


@dataclass(frozen=True)
class Budget:
    """How long to train: ``minutes`` or ``steps`` for the whole schedule, and when to pause.

    ``pause_minutes`` ends this process earlier; the run is then resumed by another.
    """

    minutes: float | None = None
    steps: int | None = None
    pause_minutes: float | None = None

    def __post_init__(self) -> None:
        if (self.minutes is None) == (self.steps is None):
            raise UsageError("give a budget in minutes or in steps, one of the two")

    def progress(self, seconds: float, step: int) -> float:
        """Share of the schedule that is used up, from 0."""
        if self.steps is not None:
            return step / self.steps
        return seconds / (60 * (self.minutes or 0) + 1e-9)


class Trainer:
    """One run: model, optimizers, average, and the files in ``folder``."""

    def __init__(
        self, recipe: Recipe, folder: Path, device: str, group: ProcessGroup, seed: int
    ) -> None:
        torch.manual_seed(seed)
        self.recipe = recipe
        self.folder = folder
        self.device = device
        self.group = group
        model = FAMILIES[recipe.family](recipe.size)
        model.attach_training()
        model.train()
        self.model: VariableRateModel = model.to(device).to(memory_format=torch.channels_last)
        self.inherited: set[str] = set()
        self.objective = choose_objective(self.model)
        self.step = 0
        self.seconds = 0.0
        # Crops of all ranks together.
        self.samples = 0
        self.skipped = 0
        self._set_up_optimizers()
        self.restart_average()

    def _set_up_optimizers(self) -> None:
        recipe = self.recipe
        self.optimizers = make_optimizers(self.model, recipe.optimizer, recipe.learning_rate)
        self.guard = GradientGuard(recipe.clip_norm)

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

    def run(
        self,
        sampler: CropSampler,
        budget: Budget,
        log: Log,
        evaluator: Callable[[Trainer], None] | None = None,
    ) -> None:
        """Train until the budget, or this process's share of it, is used up.

        ``evaluator`` is called every few minutes, and at the end, on rank 0.
        """
        self.group.broadcast_parameters(self.model)
        before, start = self.seconds, time.perf_counter()
        saved = evaluated = before
        while True:
            self.seconds = before + time.perf_counter() - start
            progress, pause = self._shared_progress(budget, self.seconds - before)
            if progress >= 1 or pause:
                break
            loss, norm = self._train_step(sampler, progress)
            if self.step % _LOG_EVERY == 0:
                log.add(self, loss, norm)
            if self.seconds - saved > _SAVE_SECONDS:
                self.save()
                saved = self.seconds
            if evaluator and self.group.rank == 0 and self.seconds - evaluated > _EVALUATE_SECONDS:
                evaluator(self)
                evaluated = self.seconds
        if evaluator and self.group.rank == 0:
            evaluator(self)

    def _shared_progress(self, budget: Budget, elapsed: float) -> tuple[float, bool]:
        """Progress and whether to pause, both of rank 0: all ranks must take the same steps."""
        pause = budget.pause_minutes is not None and elapsed >= 60 * budget.pause_minutes
        state = torch.tensor([budget.progress(self.seconds, self.step), float(pause)]).double()
        if self.group.world_size > 1:
            state = state.to(self.device)
            dist.broadcast(state, 0)
        return float(state[0]), bool(state[1])

    def _train_step(self, sampler: CropSampler, progress: float) -> tuple[Loss, float]:
        recipe = self.recipe
        factor = learning_rate_factor(
            self.step, progress, recipe.warmup_steps, recipe.final_fraction
        )
        set_learning_rate(self.optimizers, recipe.learning_rate * factor)
        x = sampler.batch(recipe.batch)
        with mixed_precision(torch.device(self.device)):
            loss = self.objective(self.model, x)
        loss.total.backward()  # type: ignore[no-untyped-call]
        self.group.average_gradients(self.model)
        self._freeze_inherited()
        accepted, norm = self.guard.clip(self.model.parameters())
        self.skipped += not accepted
        for optimizer in self.optimizers:
            if accepted:
                optimizer.step()
            optimizer.zero_grad()
        self.step += 1
        self.samples += recipe.batch * self.group.world_size
        self.average.update(self.model, self.step)
        return loss, norm

    def _freeze_inherited(self) -> None:
        if not self.inherited:
            return
        if self.step >= self.recipe.frozen_steps:
            # Gradients are of another magnitude from here on: earlier norms no longer apply.
            self.inherited = set()
            self.guard = GradientGuard(self.recipe.clip_norm)
            return
        for name, parameter in self.model.named_parameters():
            if name in self.inherited:
                parameter.grad = None

    def save(self) -> None:
        """Write the checkpoint atomically, on rank 0 only."""
        if self.group.rank:
            return
        state = {
            "model": self.model.state_dict(),
            "average": self.average.state,
            "optimizers": [o.state_dict() for o in self.optimizers],
            "inherited": sorted(self.inherited),
            "step": self.step,
            "samples": self.samples,
            "seconds": self.seconds,
            "skipped": self.skipped,
        }
        partial = self.folder / (CHECKPOINT + ".part")
        torch.save(state, partial)
        partial.replace(self.folder / CHECKPOINT)

    def resume(self) -> None:
        """Continue from the checkpoint in the folder of rank 0. Raises CorruptError when it does not fit."""
        path = self.folder / CHECKPOINT
        # Machines need not share a folder: rank 0 reads, and sends the data.
        exists = self.group.rank == 0 and path.exists()
        data = self.group.broadcast(path.read_bytes() if exists else None)
        if data is None:
            raise UsageError(f"{path}: no checkpoint to resume; leave out --resume")
        try:
            state: dict[str, Any] = torch.load(io.BytesIO(data), self.device, weights_only=True)
            self.model.load_state_dict(state["model"])
            self.average.load(state["average"])
            for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
                optimizer.load_state_dict(saved)
        except (RuntimeError, KeyError, ValueError, EOFError, pickle.UnpicklingError) as error:
            raise CorruptError(
                f"{path}: this checkpoint does not fit the recipe: {error}"
            ) from error
        self.inherited = set(state["inherited"])
        self.step, self.seconds = state["step"], state["seconds"]
        self.samples, self.skipped = state["samples"], state["skipped"]

    def averaged_model(self) -> VariableRateModel:
        """A copy of the model with the averaged weights, in evaluation mode, on the CPU."""
        model = FAMILIES[self.recipe.family](self.recipe.size)
        model.attach_training()
        state = self.model.state_dict() | self.average.state
        model.load_state_dict({k: v.cpu() for k, v in state.items()})
        return model.eval()


class Log:
    """The loss log: one CSV row every few steps, and a line for the user."""

    _COLUMNS = "step,minutes,samples,loss,bpp,psnr,gradient_norm,learning_rate,skipped"

    def __init__(self, path: Path | None, echo: Any) -> None:
        self._path = path
        self._echo = echo
        if path and not path.exists():
            path.write_text(self._COLUMNS + "\n")

    def add(self, trainer: Trainer, loss: Loss, norm: float) -> None:
        """Record the state of ``trainer`` after a step."""
        if self._path is None:
            return
        psnr = float((-10 * torch.log10(loss.mse.detach())).mean())
        learning_rate = trainer.optimizers[0].param_groups[0]["lr"]
        total, bpp = float(loss.total.detach()), float(loss.bpp.detach().mean())
        minutes = trainer.seconds / 60
        row = (
            f"{trainer.step},{minutes:.3f},{trainer.samples},{total:.4f},{bpp:.4f},{psnr:.3f},"
            f"{norm:.4f},{learning_rate:.3g},{trainer.skipped}"
        )
        with self._path.open("a") as file:
            file.write(row + "\n")
        self._echo(f"step {trainer.step} {minutes:.1f} min loss {total:.3f} psnr {psnr:.2f}")
