"""Where and how networks run, and whether weights are fetched for that: what a user can choose of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field

from vrcodec.regions.tiling import DEFAULT_TILING, Tiling

FETCH_VARIABLE = "VRCODEC_FETCH"


@dataclass(frozen=True)
class Engine:
    """``library``: numpy, torch or auto. ``device``: auto, cpu, cuda or cuda:N.

    ``precision`` of analysis and synthesis: auto, float32 or bfloat16. ``tiling``: limits memory. ``single``:
    whether one picture is all that this process does; then ``auto`` loads PyTorch only where the picture is
    worth the time that takes. ``fetch``: whether weights that a file needs are fetched where they are missing;
    None: if ``VRCODEC_FETCH`` says so. ``say`` is told what was chosen, and why.
    """

    device: str = "auto"
    precision: str = "auto"
    tiling: Tiling = DEFAULT_TILING
    library: str = "auto"
    single: bool = False
    fetch: bool | None = None
    say: Callable[[str], None] | None = field(default=None, compare=False, repr=False)

    @property
    def fetches(self) -> bool:
        """Whether missing weights are fetched."""
        if self.fetch is None:
            return os.environ.get(FETCH_VARIABLE, "") not in ("", "0")
        return self.fetch


DEFAULT_ENGINE = Engine()
