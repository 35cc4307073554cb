"""The shipped recipes describe the models whose weights are shipped."""

from __future__ import annotations

import json

import pytest

from tests.conftest import ROOT
from vrcodec.models import FAMILIES
from vrcodec.models.learning.trainable import attach_training
from vrcodec.models.networks.backbone import BackboneSize
from vrcodec.training import recipes
from vrcodec.training.complexity import count_kmac
from vrcodec.training.recipes import load_recipe


@pytest.mark.parametrize("family", recipes.FAMILIES)
def test_recipes_match_the_shipped_weights(family: str) -> None:
    card = json.loads((ROOT / "weights" / f"{family}.json").read_text())
    size = load_recipe(family).size
    assert BackboneSize(**card["architecture"]) == size


@pytest.mark.parametrize("family", ["gained", "qvrf", "qmap", "qarv"])
def test_the_work_in_the_cards_is_that_of_the_models(family: str) -> None:
    card = json.loads((ROOT / "weights" / f"{family}.json").read_text())
    model = FAMILIES[family](load_recipe(family).size)
    attach_training(model)
    assert count_kmac(model) == card["kmac_per_pixel"]
