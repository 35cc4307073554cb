"""Tables of the documents, each between its pair of marks, replaced by measured ones."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from vrcodec.catalog import find_by_family

# The pages compare by PSNR what the families do; the weights that are tuned for it do so.
PAGES_TUNE = "psnr"


def update_document(document: Path, family: str, blocks: Mapping[str, str]) -> None:
    """Replace ``blocks`` in the file ``document``, and the id of the weights of ``family`` it names."""
    weights = find_by_family(family, PAGES_TUNE).id.hex()
    text = re.sub(r"weights `[0-9a-f]{16}`", f"weights `{weights}`", document.read_text())
    document.write_text(replace_blocks(text, blocks))


def replace_blocks(text: str, blocks: Mapping[str, str]) -> str:
    """``text`` with each of ``blocks`` between its marks; prints them, too."""
    for name, block in blocks.items():
        start, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        before, _, rest = text.partition(start)
        text = f"{before}{start}{block}\n{end}{rest.partition(end)[2]}"
        print(block)
    return text
