"""Differentiable rounding: random and soft at first, annealed towards the rounding of the coder.

Stochastic Gumbel annealing (Yang, Bamler and Mandt, NeurIPS 2020, section 3.2), with three differences
(docs/EFFORT.md): less of the randomness, because steps are few; noise that is Gaussian, which is cheaper;
and the coder's own dead zone in front of it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vrcodec.models.coding.entropy import dead_zone_offset

# The temperature after a search of at most so few steps; longer ones end colder, by this power of their length.
_FINAL_TEMPERATURE, _FEW_STEPS, _FINAL_EXPONENT = 0.25, 24, 0.18
# The temperature at which a search of up to `_MANY_STEPS` begins; longer ones begin warmer, by this power.
_INITIAL_TEMPERATURE, _MANY_STEPS, _INITIAL_EXPONENT = 0.5, 96, 0.3
# Standard deviation of the noise on the logits in a search of `_FEW_STEPS`; that of the difference of two
# Gumbel variables is 1.8. Shorter searches have less, in proportion; longer ones more, by this power.
_NOISE, _NOISE_EXPONENT = 0.45, 0.25
# Keeps logarithms finite.
_EPSILON = 1e-5


def round_residual(residual: Tensor, log2_scale: Tensor | None) -> Tensor:
    """Round ``residual`` as the coder does; without a scale there is no dead zone."""
    return _apply_dead_zone(residual, log2_scale).round()


class AnnealedRounding:
    """Rounds at a temperature that a search of about ``steps`` lowers, with noise from ``seed``."""

    def __init__(self, device: torch.device, steps: int, seed: int = 0) -> None:
        self._generator = torch.Generator(device).manual_seed(seed)
        length = steps / _FEW_STEPS
        self._noise = _NOISE * min(length, length**_NOISE_EXPONENT)
        warmer = max(1.0, steps / _MANY_STEPS) ** _INITIAL_EXPONENT
        self._initial = self._temperature = _INITIAL_TEMPERATURE * warmer
        final = _FINAL_TEMPERATURE * max(1.0, length) ** -_FINAL_EXPONENT
        self._ratio = final / self._initial

    def set_progress(self, progress: float) -> None:
        """Set the temperature for ``progress`` 0 .. 1 of the search."""
        self._temperature = self._initial * self._ratio**progress

    def __call__(self, residual: Tensor, log2_scale: Tensor | None) -> Tensor:
        """Values between the two integers around ``residual``, same shape."""
        value = _apply_dead_zone(residual, log2_scale)
        low = value.detach().floor()
        fraction = (value - low).clamp(_EPSILON, 1 - _EPSILON)
        # Half the logarithm of this is atanh(fraction) - atanh(1 - fraction).
        odds = fraction * (1 + fraction) / ((1 - fraction) * (2 - fraction))
        noise = torch.empty_like(low).normal_(0, self._noise, generator=self._generator)
        logit = 0.5 * odds.log() / self._temperature + noise
        return low + torch.sigmoid(logit / self._temperature)


def _apply_dead_zone(residual: Tensor, log2_scale: Tensor | None) -> Tensor:
    """Shrink the residual towards zero by the dead zone; the gradient passes unchanged."""
    if log2_scale is None:
        return residual
    return residual - dead_zone_offset(residual.detach(), log2_scale.detach())
