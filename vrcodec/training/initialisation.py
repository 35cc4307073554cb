"""Where a run begins: the weights of an earlier one, or of another family."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from vrcodec.errors import WeightsError
from vrcodec.models import VariableRateModel
from vrcodec.models.coding.hyperprior import HyperpriorModel
from vrcodec.models.families.qarv import Qarv
from vrcodec.models.families.qvrf import Qvrf
from vrcodec.models.families.slim import Slim
from vrcodec.models.weights import load_size, load_state, load_wide
from vrcodec.training.data import CropSampler
from vrcodec.training.klt import principal_components, start_from_klt
from vrcodec.training.loop import Trainer
from vrcodec.training.transfer import (
    Transforms,
    regulated_from_gained,
    start_hierarchy,
    take_transforms,
)
from vrcodec.training.width_transfer import start_from_wide

# Enough to tell which channels carry most.
_ORDERING_CROPS = 32
# What both sizes must agree in where one family starts from another.
_SHARED = ("channels", "latent", "blocks")


def begin(trainer: Trainer, init: Path | None, pictures: Sequence[Tensor], seed: int) -> None:
    """Give ``trainer`` the weights at ``init``, translated if they are of another family.

    Without ``init``: the Karhunen-Loeve transform of ``pictures``, uint8 (3, H, W), for the families that
    can begin there. Raises WeightsError where the weights do not suit.
    """
    model = trainer.model
    if init:
        _inherit(trainer, init, pictures)
    elif isinstance(model, HyperpriorModel | Slim):
        start_from_klt(model, *principal_components(pictures, seed))
        trainer.restart_average()


def exchange_transforms(trainer: Trainer, path: Path) -> None:
    """Replace analysis and synthesis by those in the weights at ``path``. Raises WeightsError."""
    _check_size(trainer.model, path)
    try:
        transforms = Transforms.of(load_state(path))
        trainer.inherited = take_transforms(trainer.model, transforms)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from error
    trainer.restart_average()


def _inherit(trainer: Trainer, path: Path, pictures: Sequence[Tensor]) -> None:
    model, state = trainer.model, load_state(path)
    if isinstance(model, Qarv) and not any(k.startswith("descent") for k in state):
        _check_size(model, path)
        trainer.inherited = start_hierarchy(model, _qvrf(path), _crops(trainer, pictures))
        trainer.restart_average()
    elif isinstance(model, Slim) and not any(k.startswith("widths.") for k in state):
        _check_size(model, path)
        start_from_wide(model, load_wide(path), _crops(trainer, pictures))
        trainer.restart_average()
    elif isinstance(model, Qvrf) and "log_gain" in state:
        _check_size(model, path)
        trainer.start_from(regulated_from_gained(state, model.size.groups))
    else:
        trainer.start_from(state)


def _check_size(model: VariableRateModel, path: Path) -> None:
    size = load_size(path)
    for name in _SHARED:
        theirs, own = getattr(size, name), getattr(model.size, name)
        if theirs != own:
            raise WeightsError(
                f"{path}: {name} = {theirs}, and this recipe has {own}; {model.family} can start from "
                "another family's weights only where they are equal"
            )


def _crops(trainer: Trainer, pictures: Sequence[Tensor]) -> Tensor:
    """A few, (B, 3, H, W) in [0, 1]."""
    sampler = CropSampler(pictures, trainer.recipe.crop, 0, "cpu")
    return sampler.batch(_ORDERING_CROPS).to(trainer.device)


def _qvrf(path: Path) -> Qvrf:
    model = load_wide(path)
    if not isinstance(model, Qvrf):
        raise WeightsError(f"{path}: qarv starts from the weights of qvrf, or from its own")
    return model
