"""`slim`: the shared backbone at five widths."""

from vrcodec.models.networks.backbone import BackboneSize
from vrcodec.training.recipes.recipe import Recipe

RECIPE = Recipe(
    family="slim",
    size=BackboneSize(
        hyper=0, prior=0, widths=(64, 96, 128, 192, 256), reach=(0.45, 0.6, 0.7, 0.85, 1.0)
    ),
    optimizer="muon",
)
