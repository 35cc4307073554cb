"""Names for the pictures of a progressive decode."""

from __future__ import annotations

import re
from pathlib import Path

from vrcodec.cli.shared.paths import Destination
from vrcodec.errors import UsageError

# As of printf: %d, or %02d with a width of two digits at most. %% is a percent sign.
_NUMBER = re.compile(r"%(0?[1-9]?)d")


def check_pattern(pattern: str) -> None:
    """Raise UsageError unless ``pattern`` has one place for a number."""
    parts = _NUMBER.split(pattern.replace("%%", ""))
    # Splitting by a pattern with a group: text, group, text.
    if len(parts) != 3 or any("%" in text for text in parts[::2]):
        raise UsageError(f"{pattern}: needs one %d or %02d, for the number of the level")


def level_places(pattern: str, levels: int, force: bool) -> list[Destination]:
    """Where levels 1 .. ``levels`` go; nothing is written unless all may be. Raises OutputError."""
    found = [Destination(Path(pattern % level), force) for level in range(1, levels + 1)]
    for place in found:
        place.check()
    return found
