"""`qvrf`: a quantisation regulator (Tong et al., "QVRF: A Quantization-error-aware Variable Rate Framework
for Learned Image Compression", ICIP 2023) with a parallel context model.

`models.regulated` has the regulator. Differences from the paper: the backbone is ours; the context model is
parallel (`networks.context`) instead of serial; it also knows the rate, by a bias for each group,
because the precision of y_hat depends on it; and so does the synthesis.
"""

from __future__ import annotations

from vrcodec.kernels import Array
from vrcodec.models.base import register
from vrcodec.models.hyperprior import Gains
from vrcodec.models.networks.backbone import BackboneSize
from vrcodec.models.networks.context import ParallelContext, StepCoder
from vrcodec.models.regulated import RegulatedModel


@register
class Qvrf(RegulatedModel):
    """Quantisation regulator and parallel context on the shared backbone."""

    family = "qvrf"
    method = 2
    exact_modules = ("hyper_synthesis_net", "context")

    def __init__(self, size: BackboneSize) -> None:
        super().__init__(size)
        self.context = ParallelContext(size.prior, size.groups, size.context)

    def code_block(self, features: Array, gains: Gains, code_step: StepCoder) -> Array:
        """The steps of the context model."""
        y_hat = self.context(features, gains.rate, self.regulate(code_step, gains))
        return self.restore(y_hat, gains)
