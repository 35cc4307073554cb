"""What tests of `vrcodec bench` share: a few rates and one rival, and the report as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FEW = ("--rates", "0:1:0.25", "--rivals", "webp")


def document(path: Path) -> Any:
    return json.loads(path.read_text())
