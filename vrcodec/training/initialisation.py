"""Initial weights of a run: those of an earlier one, converted from another family, or a KLT."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vrcodec.errors import UsageError, WeightsError
from vrcodec.models import GdnHyperprior, VariableRateModel
from vrcodec.models.families.gained import Gained
from vrcodec.models.families.qarv import Qarv
from vrcodec.models.families.qvrf import Qvrf
from vrcodec.models.families.slim import Slim
from vrcodec.models.hyperprior import HyperpriorModel
from vrcodec.models.learning.passes import analyse
from vrcodec.models.learning.trainable import load_hyperprior_model, load_state
from vrcodec.models.weights import load_size
from vrcodec.training.coarse_means import carry_coarse_means
from vrcodec.training.data import CropSampler
from vrcodec.training.klt import can_carry_klt, initialise_from_klt, principal_components
from vrcodec.training.loop import Trainer
from vrcodec.training.transfer import (
    Transforms,
    convert_gained,
    initialise_qarv,
    replace_transforms,
)
from vrcodec.training.width_transfer import initialise_from_wide

# Crops to measure the energy of channels on.
_MEASURED_CROPS = 32
# Fields of the size that must be equal when one family starts from another.
_EQUAL_FIELDS = ("channels", "latent", "blocks")


def initialise(trainer: Trainer, init: Path | None, pictures: Sequence[Tensor], seed: int) -> None:
    """Set the weights of ``trainer`` to those at ``init``, converted if they are of another family.

    Without ``init``: the Karhunen-Loeve transform of ``pictures``, uint8 (3, H, W), for models that can carry
    it (`can_carry_klt`); others keep their random weights. Raises WeightsError for unsuitable weights.
    """
    model = trainer.model
    if init:
        _load_initial_weights(trainer, init, pictures)
    elif isinstance(model, GdnHyperprior):
        pass
    elif isinstance(model, HyperpriorModel | Slim) and can_carry_klt(model.size):
        initialise_from_klt(model, *principal_components(pictures, seed))
        trainer.restart_average()


def load_transforms(trainer: Trainer, path: Path) -> None:
    """Replace analysis and synthesis by those in the weights at ``path``. Raises WeightsError."""
    _check_size(trainer.model, path)
    try:
        transforms = Transforms.from_state(load_state(path))
        trainer.inherited = replace_transforms(trainer.model, transforms)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from error
    trainer.restart_average()


def put_coarse_means(trainer: Trainer, pictures: Sequence[Tensor]) -> None:
    """Let idle channels of the hyper latent carry coarse means of y. Raises UsageError.

    ``pictures``, uint8 (3, H, W): what is measured on.
    """
    model = trainer.model
    if not isinstance(model, Gained | Qvrf):
        raise UsageError(f"coarse means are for gained, qmap and qvrf; {model.family} has none")
    x = _draw_crops(trainer, pictures)
    rate = torch.linspace(0, 1, len(x), device=x.device)
    with torch.no_grad():
        y = analyse(model, x, model.compute_conditions(model.gains(rate).levels))
    carry_coarse_means(model, y, rate)
    trainer.restart_average()


def _load_initial_weights(trainer: Trainer, path: Path, pictures: Sequence[Tensor]) -> None:
    model, state = trainer.model, load_state(path)
    if isinstance(model, Qarv) and not any(k.startswith("descent") for k in state):
        _check_size(model, path)
        trainer.inherited = initialise_qarv(model, _load_qvrf(path), _draw_crops(trainer, pictures))
        trainer.restart_average()
    elif isinstance(model, Slim) and not any(k.startswith("widths.") for k in state):
        _check_size(model, path)
        initialise_from_wide(model, load_hyperprior_model(path), _draw_crops(trainer, pictures))
        trainer.restart_average()
    elif isinstance(model, Qvrf) and "log_gain" in state:
        _check_size(model, path)
        trainer.load_matching(convert_gained(state, model.size.groups))
    else:
        if isinstance(model, Slim) and load_size(path).widths == model.size.widths:
            # Gains and schedule are over this reach, which a search may have found.
            trainer.set_reach(load_size(path).reach)
        trainer.load_matching(state)


def _check_size(model: VariableRateModel, path: Path) -> None:
    size = load_size(path)
    for name in _EQUAL_FIELDS:
        theirs, ours = getattr(size, name), getattr(model.size, name)
        if theirs != ours:
            raise WeightsError(
                f"{path}: {name} = {theirs}, and this recipe has {ours}; {model.family} can start from "
                "another family's weights only where they are equal"
            )


def _draw_crops(trainer: Trainer, pictures: Sequence[Tensor]) -> Tensor:
    """Random crops to measure channels on, (32, 3, H, W) in [0, 1]."""
    sampler = CropSampler(pictures, trainer.recipe.crop, "cpu")
    levels = [0.5] * _MEASURED_CROPS
    return sampler.batch(levels, np.random.default_rng(0)).to(trainer.device)


def _load_qvrf(path: Path) -> Qvrf:
    model = load_hyperprior_model(path)
    if not isinstance(model, Qvrf):
        raise WeightsError(f"{path}: qarv starts from the weights of qvrf, or from its own")
    return model
