"""Recipes: what it takes to train each family, one small file a family."""

from __future__ import annotations

from importlib import import_module

from vrcodec.training.recipes.base import Recipe

FAMILIES = ("gained", "qvrf", "qmap", "slim", "qarv")


def load_recipe(family: str) -> Recipe:
    """The recipe of ``family``, one of `FAMILIES`."""
    recipe: Recipe = import_module(f"vrcodec.training.recipes.{family}").RECIPE
    return recipe
