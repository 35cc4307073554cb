"""`qmap` on the shared backbone; starts from the weights of `gained`."""

from vrcodec.training.recipes.recipe import Recipe

RECIPE = Recipe(family="qmap", optimizer="muon")
