"""What our HTML pages share: their look, and two pictures under a slider."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

STYLE, SCRIPT = "page.css", "slider.js"


def part(package: str, name: str) -> str:
    """The text of a file that comes with ``package``."""
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")


def shared(name: str) -> str:
    """The text of `STYLE`, `SCRIPT`, or of slider.html, which the script moves."""
    return part(__package__, name)


def filled(page: str, parts: Mapping[str, str]) -> str:
    """``page`` with each part in place of the comment that names it, SLIDER included."""
    for name, text in {"SLIDER": shared("slider.html"), **parts}.items():
        page = page.replace(f"<!-- {name} -->", text, 1)
    return page


def embedded(value: Any) -> str:
    """JSON that no HTML parser mistakes for the end of a script."""
    return json.dumps(value, allow_nan=False).replace("<", "\\u003c")
