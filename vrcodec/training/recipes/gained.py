"""`gained` on the shared backbone: seven million parameters, rates uniform in [0, 1] per sample."""

from vrcodec.training.recipes.base import Recipe

RECIPE = Recipe(family="gained", optimizer="muon")
