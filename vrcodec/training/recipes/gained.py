"""`gained` on the shared backbone: seven million parameters, rates uniform in [0, 1] per sample."""

from dataclasses import replace

from vrcodec.models.networks.backbone import BackboneSize
from vrcodec.training.recipes.recipe import Recipe

RECIPE = Recipe(family="gained", optimizer="muon")

# To try training out: thirty times less work a pixel, and smaller crops.
SMALL = replace(
    RECIPE, size=BackboneSize(channels=64, latent=96, hyper=32, blocks=2, prior=64), crop=128
)
