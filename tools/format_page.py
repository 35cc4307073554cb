"""The examples of docs/FORMAT.md, from the files that they show.

    python -m tools.format_page

writes them into the page anew.
"""

from __future__ import annotations

import re
from pathlib import Path

from conformance.dump import dump, rans_steps

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "FORMAT.md"
# The example that the page decodes step by step.
_STEPS = ROOT / "tests" / "golden" / "dot.vrc"
_MARK = re.compile(r"(<!-- (?:dump of (\S+)|rans) -->\n).*?(<!-- end of )", re.DOTALL)


def fill_examples(text: str) -> str:
    """``text`` with the examples between its marks."""

    def example(found: re.Match[str]) -> str:
        name = found[2]
        shown = dump((ROOT / name).read_bytes()) if name else rans_steps(_STEPS.read_bytes())
        return f"{found[1]}```\n{shown}\n```\n{found[3]}"

    return _MARK.sub(example, text)


def main() -> None:
    DOCUMENT.write_text(fill_examples(DOCUMENT.read_text()))


if __name__ == "__main__":
    main()
