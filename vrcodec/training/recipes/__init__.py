"""Recipes: what it takes to train each family, one small file a family."""

from __future__ import annotations

from importlib import import_module

from vrcodec.errors import UsageError
from vrcodec.training.recipes.recipe import Recipe

FAMILIES = ("gained", "qvrf", "qmap", "slim", "qarv")


def load_recipe(family: str, *, small: bool = False) -> Recipe:
    """The recipe of ``family``, one of `FAMILIES`; ``small``: of a model for trying out.

    Raises UsageError where the family has no small one.
    """
    module = import_module(f"vrcodec.training.recipes.{family}")
    recipe: Recipe | None = getattr(module, "SMALL", None) if small else module.RECIPE
    if recipe is None:
        raise UsageError(f"{family} has no small recipe; gained has")
    return recipe
