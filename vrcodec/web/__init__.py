"""HTML templates: the style of all pages, and two pictures under a slider."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

STYLE, SCRIPT = "page.css", "slider.js"


def read_resource(package: str, name: str) -> str:
    """The text of a file that comes with ``package``."""
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")


def read_shared(name: str) -> str:
    """The text of `STYLE`, `SCRIPT`, or of slider.html, which the script moves."""
    return read_resource(__package__, name)


def fill_template(page: str, parts: Mapping[str, str]) -> str:
    """``page`` with each part in place of the comment that names it, SLIDER included."""
    for name, text in {"SLIDER": read_shared("slider.html"), **parts}.items():
        page = page.replace(f"<!-- {name} -->", text, 1)
    return page


def script_json(value: Any) -> str:
    """JSON to embed in HTML: without <, it cannot end its script element."""
    return json.dumps(value, allow_nan=False).replace("<", "\\u003c")
