"""Where and how networks run: what a user can choose of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from vrcodec.regions.tiling import DEFAULT_TILING, Tiling


@dataclass(frozen=True)
class Engine:
    """``library``: numpy, torch or auto. ``device``: auto, cpu, cuda or cuda:N.

    ``precision`` of analysis and synthesis: auto, float32 or bfloat16. ``tiling``: limits memory. ``single``:
    whether one picture is all that this process does; then ``auto`` loads PyTorch only where the picture is
    worth the time that takes. ``say`` is told what was chosen, and why.
    """

    device: str = "auto"
    precision: str = "auto"
    tiling: Tiling = DEFAULT_TILING
    library: str = "auto"
    single: bool = False
    say: Callable[[str], None] | None = field(default=None, compare=False, repr=False)


DEFAULT_ENGINE = Engine()
