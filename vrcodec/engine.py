"""Where and how networks run: what a user can choose of it."""

from __future__ import annotations

from dataclasses import dataclass

from vrcodec.regions.tiling import DEFAULT_TILING, Tiling


@dataclass(frozen=True)
class Engine:
    """``library``: numpy, torch or auto. ``device``: auto, cpu, cuda or cuda:N.

    ``precision`` of analysis and synthesis: auto, float32 or bfloat16. ``tiling``: limits memory.
    """

    device: str = "auto"
    precision: str = "auto"
    tiling: Tiling = DEFAULT_TILING
    library: str = "auto"


DEFAULT_ENGINE = Engine()
