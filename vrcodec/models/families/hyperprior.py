"""`hyperprior`: the quantisation regulator of QVRF on a network of one's own: a scale hyperprior (Balle et al.
2018) or a mean-scale hyperprior (Minnen et al. 2018) in CompressAI's layout (docs/IMPORT.md).

`networks.gdn_backbone` has the networks, `models.regulated` the regulator. Encoders round to the nearest, as
those that such networks were trained with.
"""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType
from typing import ClassVar

from vrcodec.kernels import Array, kernels_of
from vrcodec.models.base import register
from vrcodec.models.families.gained import flatten_samples
from vrcodec.models.hyperprior import Gains
from vrcodec.models.networks import gdn_backbone
from vrcodec.models.networks.backbone import BackboneSize
from vrcodec.models.networks.context import StepCoder
from vrcodec.models.place import NUMPY_BACKEND, Backend
from vrcodec.models.regulated import RegulatedModel
from vrcodec.regions.tiling import DEFAULT_TILING, Tiling

# Least scale of y. What such networks say below 0.11 was never told apart in their training; of a channel that
# is all zeros it must be small also where a fine step multiplies it.
LEAST_SCALE = 2.0**-8
# Memory of the synthesis for a pixel and each of its channels, of which there are five maps at half resolution.
_BYTES_PER_CHANNEL = 5


@register
class GdnHyperprior(RegulatedModel):
    """Scale or mean-scale hyperprior with GDN, under the regulator."""

    family = "hyperprior"
    method = 6
    networks: ClassVar[ModuleType] = gdn_backbone
    hyper_analysis_halo = gdn_backbone.HYPER_ANALYSIS_HALO
    half_precision_weights = False
    dead_zone = False

    def __init__(self, size: BackboneSize) -> None:
        if size.prior not in (size.latent, 2 * size.latent) or size.hyper != size.channels:
            raise ValueError(f"no hyperprior has {size.prior} parameters for {size.latent} latents")
        super().__init__(size)

    @property
    def halo(self) -> int:
        return gdn_backbone.HALO

    def prepare(self, backend: Backend = NUMPY_BACKEND, tiling: Tiling = DEFAULT_TILING) -> None:
        super().prepare(
            backend, replace(tiling, bytes_per_pixel=_BYTES_PER_CHANNEL * self.size.channels)
        )

    def hyper_input(self, y: Array, gains: Gains) -> Array:
        """y; of a scale hyperprior its magnitude."""
        return y if gdn_backbone.has_means(self.size) else abs(y)

    def code_block(self, features: Array, gains: Gains, code_step: StepCoder) -> Array:
        """One step for all samples."""
        kernels = kernels_of(features)
        parameters = flatten_samples(kernels.at_least_float32(features))
        scale, mean = parameters[:, : self.size.latent], parameters[:, self.size.latent :]
        if not gdn_backbone.has_means(self.size):
            mean = kernels.xp.zeros_like(scale)
        log2_scale = kernels.xp.log2(kernels.lower_bound(scale, LEAST_SCALE))
        y_hat = self.regulate(code_step, gains)(mean, log2_scale, flatten_samples)
        return self.restore(y_hat.reshape(*y_hat.shape[:2], *features.shape[-2:]), gains)
