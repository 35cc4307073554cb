"""`qvrf` on the shared backbone with the parallel context model; starts from the weights of `gained`."""

from vrcodec.models.networks.backbone import BackboneSize
from vrcodec.training.recipes.recipe import Recipe

RECIPE = Recipe(
    family="qvrf",
    size=BackboneSize(groups=(16, 16, 32, 64, 192), context=144),
    optimizer="muon",
)
