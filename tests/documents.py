"""The documentation, as tests read it."""

from __future__ import annotations

import re
from pathlib import Path

from tests.conftest import ROOT

DOCUMENTS = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "conformance" / "README.md",
]

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# What a block of commands is called; many say nothing.
COMMANDS = ("sh", "")


def blocks(document: Path, *languages: str) -> list[str]:
    """The code of a page in these languages, as its blocks name them."""
    return [text for name, text in _BLOCK.findall(document.read_text()) if name in languages]
