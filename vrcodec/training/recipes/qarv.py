"""`qarv`: the shared backbone under a hierarchy of latents; starts from the weights of `qvrf`."""

from vrcodec.models.networks.backbone import BackboneSize
from vrcodec.training.recipes.recipe import Recipe

RECIPE = Recipe(
    family="qarv",
    size=BackboneSize(hyper=0, prior=256, groups=(16, 16, 32, 64, 192)),
    # Its matrices are many, and what Muon does with them takes as long for any batch.
    batch=16,
    optimizer="muon",
)
