"""The numbers of a training run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from vrcodec.models.networks.backbone import BackboneSize


@dataclass(frozen=True)
class Recipe:
    """Settings of one family's training; the command line may override batch and learning rate.

    The learning rate rises over ``warmup_steps``, then follows a cosine down to ``final_fraction`` of
    itself at the end of the budget. ``frozen_steps``: how long parameters that came from elsewhere
    stand still while new ones learn. ``ema``: decay of the average whose weights are the product.
    """

    family: str
    size: BackboneSize = field(default_factory=BackboneSize)
    crop: int = 256
    batch: int = 8
    learning_rate: float = 1e-3
    final_fraction: float = 0.01
    warmup_steps: int = 300
    frozen_steps: int = 300
    clip_norm: float = 1.0
    ema: float = 0.999
    optimizer: Literal["adam", "muon"] = "adam"
