"""The learned density of each channel of z (Balle et al. 2018, appendix 6.1), from CompressAI."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from torch import Tensor

from vrcodec.bitstream.tables import TableSet, stack_tables, trim_pmf
from vrcodec.models.learning.likelihoods import LIKELIHOOD_FLOOR

with warnings.catch_warnings():
    # What that package calls at import is deprecated in PyTorch: nothing that a user could change.
    warnings.simplefilter("ignore", FutureWarning)
    from compressai.entropy_models import EntropyBottleneck


class FactorizedDensity(EntropyBottleneck):  # type: ignore[misc]
    """`EntropyBottleneck` without what coding with it would need."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, likelihood_bound=LIKELIHOOD_FLOOR)
        # Medians stay at zero: symbols are plain integers, and no auxiliary loss is needed.
        self.quantiles.requires_grad_(False).zero_()

    def likelihood(self, z: Tensor, *, noisy: bool) -> Tensor:
        """Likelihood of z (B, N, h, w) with added noise (training) or rounded (evaluation)."""
        likelihood: Tensor = self(z.float(), training=noisy)[1]
        return likelihood

    @torch.no_grad()
    def tabulate(self, reach: int = 1024) -> TableSet:
        """Tables of all channels over the integers that matter."""
        grid = torch.arange(-reach, reach + 1, dtype=torch.float32)
        grid = grid.to(self.quantiles.device)
        pmf = self.likelihood(grid.expand(1, self.channels, 1, -1), noisy=False)
        rows = pmf[0, :, 0].double().cpu().numpy()
        # The density's own floor is no probability.
        rows = np.where(rows > 1.5 * LIKELIHOOD_FLOOR, rows, 0.0)
        return stack_tables([trim_pmf(row) for row in rows])
