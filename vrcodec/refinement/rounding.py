"""Rounding with a gradient: by chance and not quite at first, then more and more as the coder rounds.

Stochastic Gumbel annealing (Yang, Bamler and Mandt, NeurIPS 2020, section 3.2), with three differences
(docs/EFFORT.md): a quarter of the randomness, because steps are few; noise that is Gaussian, which is cheaper;
and the coder's own dead zone in front of it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vrcodec.models.coding.entropy import within_dead_zone

# At the end of a search of so few steps; longer ones may end colder, by this power of their length.
_LAST_TEMPERATURE, _FEW_STEPS, _COOLING = 0.25, 24, 0.18
# How a search of up to so many steps begins. Longer ones have the time to begin warmer.
MANY_STEPS = 96
_FIRST_TEMPERATURE, _WARMING = 0.5, 0.6
# Standard deviation of the noise on the logits; that of the difference of two Gumbel variables is 1.8.
_NOISE = 0.45
# Keeps logarithms finite.
_EDGE = 1e-5


def rounded(residual: Tensor, log2_scale: Tensor | None) -> Tensor:
    """As the coder rounds ``residual``; without a scale there is no dead zone."""
    return _narrowed(residual, log2_scale).round()


def boldness(steps: int) -> float:
    """How much larger noise and steps may be in a search of ``steps``: 1, and more for long ones."""
    return max(1.0, steps / MANY_STEPS) ** 0.5


class AnnealedRounding:
    """Rounds at a temperature that a search of about ``steps`` lowers, with noise from ``seed``."""

    def __init__(self, device: torch.device, steps: int, seed: int = 0) -> None:
        self._generator = torch.Generator(device).manual_seed(seed)
        bold = boldness(steps)
        self._noise = _NOISE * bold
        self._first = self._temperature = _FIRST_TEMPERATURE * bold**_WARMING
        last = _LAST_TEMPERATURE * (_FEW_STEPS / max(_FEW_STEPS, steps)) ** _COOLING
        self._fall = last / self._first

    def cool(self, progress: float) -> None:
        """Take the temperature for ``progress`` 0 .. 1 of the search."""
        self._temperature = self._first * self._fall**progress

    def __call__(self, residual: Tensor, log2_scale: Tensor | None) -> Tensor:
        """Values between the two integers around ``residual``, same shape."""
        value = _narrowed(residual, log2_scale)
        low = value.detach().floor()
        part = (value - low).clamp(_EDGE, 1 - _EDGE)
        # Half the logarithm of this is atanh(part) - atanh(1 - part).
        odds = part * (1 + part) / ((1 - part) * (2 - part))
        noise = torch.empty_like(low).normal_(0, self._noise, generator=self._generator)
        logit = 0.5 * odds.log() / self._temperature + noise
        return low + torch.sigmoid(logit / self._temperature)


def _narrowed(residual: Tensor, log2_scale: Tensor | None) -> Tensor:
    """Moved towards zero, for the dead zone; the gradient passes as if it were not."""
    if log2_scale is None:
        return residual
    return residual - within_dead_zone(residual.detach(), log2_scale.detach())
