"""Recipes: what it takes to train each family."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from vrcodec.catalog import find_by_family
from vrcodec.errors import UsageError, WeightsError
from vrcodec.models import GdnHyperprior
from vrcodec.models.networks.backbone import BackboneSize
from vrcodec.models.weights import load_size

# What a model is trained for: the metric of its distortion.
Tune = Literal["psnr", "ssimulacra2"]
# What learns: all of it, or a part, of which `LEARNING` has the names; the rest stands still.
Part = Literal["all", "encoder", "synthesis", "prior"]
LEARNING: dict[Part, tuple[str, ...]] = {
    "all": ("",),
    "encoder": ("analysis_net", "hyper_analysis_net", "encoder"),
    "synthesis": ("synthesis_net", "log_restoration", "out"),
    "prior": ("prior", "hyper_analysis_net", "hyper_synthesis_net", "context", "log_hyper"),
}


@dataclass(frozen=True)
class Recipe:
    """Settings of one family's training; the command line may override batch and learning rate.

    The learning rate rises over ``warmup_steps``, then follows the schedule; a cosine ends at
    ``final_fraction`` of it. ``frozen_steps``: how long parameters that came from elsewhere
    stand still while new ones learn. ``ema``: decay of the average whose weights are the product.
    ``calibration_crops``: random crops to whose symbols the tables are fitted in the end. ``graphics``: the
    share of training crops that are graphics. ``learns``: the part of the model that does. ``coarse_means``:
    put into idle channels of the hyper latent at first (`vrcodec.training.coarse_means`). ``distinct_crops``:
    how many different ones a prior that learns alone has; 0: each step draws new ones. ``name``, ``version``:
    of a network of one's own, what its weights will be called, and their generation.
    """

    family: str
    size: BackboneSize = field(default_factory=BackboneSize)
    crop: int = 256
    batch: int = 8
    learning_rate: float = 1e-3
    final_fraction: float = 0.01
    warmup_steps: int = 300
    frozen_steps: int = 300
    clip_norm: float = 1.0
    ema: float = 0.999
    calibration_crops: int = 200
    optimizer: Literal["adam", "muon"] = "adam"
    tune: Tune = "psnr"
    graphics: float = 0.05
    learns: Part = "all"
    coarse_means: bool = False
    distinct_crops: int = 0
    name: str = ""
    version: int = 0

    @property
    def keeps_tables(self) -> bool:
        """Whether symbols go on to be those that the tables at the start were fitted to."""
        return self.learns in ("encoder", "synthesis")

    @property
    def model(self) -> str:
        """What `--model` will call the weights."""
        return self.name or self.family

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Recipe:
        """The recipe that `dataclasses.asdict` made ``values`` of. Raises TypeError or KeyError for others."""
        return Recipe(**{**values, "size": BackboneSize(**values["size"])})


# Seven million parameters, rates uniform in [0, 1] per sample.
_GAINED = Recipe(family="gained", optimizer="muon")

# With the parallel context model; starts from the weights of `gained`.
_QVRF = Recipe(
    family="qvrf",
    size=BackboneSize(groups=(16, 16, 32, 64, 192), context=144),
    optimizer="muon",
)

# Starts from the weights of `gained`.
_QMAP = Recipe(family="qmap", optimizer="muon")

# Five widths.
_SLIM = Recipe(
    family="slim",
    size=BackboneSize(
        hyper=0, prior=0, widths=(64, 96, 128, 192, 256), reach=(0.45, 0.6, 0.7, 0.85, 1.0)
    ),
    optimizer="muon",
)

# A hierarchy of latents; starts from the weights of `qvrf`.
_QARV = Recipe(
    family="qarv",
    size=BackboneSize(hyper=0, prior=256, groups=(16, 16, 32, 64, 192)),
    # Its matrices are many, and what Muon does with them takes as long for any batch.
    batch=16,
    optimizer="muon",
)

_RECIPES = {recipe.family: recipe for recipe in (_GAINED, _QVRF, _QMAP, _SLIM, _QARV)}

# To try training out: thirty times less work a pixel, and smaller crops.
_SMALL = {
    "gained": replace(
        _GAINED, size=BackboneSize(channels=64, latent=96, hyper=32, blocks=2, prior=64), crop=128
    )
}

FAMILIES = tuple(_RECIPES)
# Of networks that are trained already: a tenth of the others' learning rate.
_OWN_LEARNING_RATE = 1e-4


def load_recipe(family: str, *, small: bool = False) -> Recipe:
    """The recipe of ``family``, one of `FAMILIES`; ``small``: of a model for trying out.

    Raises UsageError where the family has no small one.
    """
    if small and family not in _SMALL:
        raise _no_small_recipe(family)
    return (_SMALL if small else _RECIPES)[family]


def own_recipe(model: str, *, small: bool = False) -> tuple[Recipe, Path]:
    """What trains the network of one's own called ``model`` on, and its newest weights, to start from.

    Raises UsageError for anything else, and for ``small``: it has the size that it has.
    """
    try:
        entry = find_by_family(model)
    except WeightsError as error:
        raise _no_recipe(model) from error
    if entry.family != GdnHyperprior.family:
        raise _no_recipe(model)
    if small:
        raise _no_small_recipe(model)
    recipe = Recipe(
        entry.family,
        load_size(entry.path),
        learning_rate=_OWN_LEARNING_RATE,
        name=str(entry.card.get("name", "")),
        version=entry.version + 1,
    )
    return recipe, entry.path


def _no_recipe(model: str) -> UsageError:
    return UsageError(
        f"no recipe for {model!r}; there are: {', '.join(FAMILIES)}, and networks of your own once they are "
        "imported"
    )


def _no_small_recipe(model: str) -> UsageError:
    return UsageError(f"{model} has no small recipe; {', '.join(_SMALL)} has")
