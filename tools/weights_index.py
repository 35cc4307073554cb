"""Write weights/index.json anew: what lies in weights/, and what lay there before.

    python -m tools.weights_index

Weights whose card has no number become the next generation of their family. Those that they replace stay in the
index, with the last commit that has them: run this before the new ones are committed.
"""

from __future__ import annotations

import datetime
import json
import subprocess
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from tools.weights_history import ROOT, extract, number_card
from vrcodec.catalog import INDEX_NAME, Index, Release, WeightsEntry, build_index, read_card
from vrcodec.weights.mirror import describe_release, read_index, sort_index

WEIGHTS = ROOT / "weights"
# The version that is to come, as long as there has been no release: what is replaced now was never shipped.
_UNRELEASED = "1.0"


def update_index(folder: Path = WEIGHTS) -> bytes:
    """The index for ``folder``, whose cards are numbered where they are not."""
    known = {release.id: release for release in read_index(folder / INDEX_NAME)}
    here = {}
    for path in sorted(folder.glob("*.json")):
        if path.name != INDEX_NAME:
            entry = _number(path, sort_index(known.values()))
            here[entry.id] = known[entry.id] = describe_release(entry)
    replaced = [release for release in known.values() if release.id not in here]
    return build_index(sort_index([*here.values(), *map(_find_in_history, replaced)]))


def _number(path: Path, index: Index) -> WeightsEntry:
    """The weights of a card, as the next generation of their family unless they have a number."""
    entry = read_card(path)
    if entry.version:
        return entry
    of_family = [release for release in index if release.family == entry.family]
    of_tune = [release for release in of_family if release.tune == entry.tune]
    release = Release(
        entry.family,
        max((release.version for release in of_family), default=0) + 1,
        entry.id,
        entry.tune,
        datetime.date.today().isoformat(),
        {},
        of_tune[-1].id if of_tune else None,
    )
    path.write_text(json.dumps(number_card(entry.card, release), indent=1) + "\n")
    return read_card(path)


def _find_in_history(release: Release) -> Release:
    """A replaced release with the commit that has it."""
    if release.commit is not None:
        return release
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    with TemporaryDirectory() as hub:
        release = replace(release, commit=head.stdout.strip(), before=_UNRELEASED)
        (found,) = extract([release], Path(hub))
    return found


def main() -> None:
    """Run the command."""
    (WEIGHTS / INDEX_NAME).write_bytes(update_index())


if __name__ == "__main__":
    main()
