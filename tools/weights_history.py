"""Take weights that were replaced out of the history of the project, into a folder that serves as a hub.

    python -m tools.weights_history FOLDER [NAME...]

Then `VRCODEC_HUB=FOLDER vrcodec weights fetch gained-1` gets them.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from vrcodec.catalog import Index, Release, shipped_index
from vrcodec.errors import WeightsError
from vrcodec.weights.mirror import write_mirror
from vrcodec.weights.store import check

ROOT = Path(__file__).parents[1]
_FOLDER = "weights/"
_SUFFIXES = (".safetensors", ".encoder.safetensors")


def replaced(index: Index) -> list[Release]:
    """The releases that are no longer shipped, and lie in the history."""
    return [release for release in index if release.commit is not None]


def extract(releases: Sequence[Release], folder: Path) -> Index:
    """Add weights of the history to the hub at ``folder``; returns its index. Raises WeightsError."""
    with TemporaryDirectory() as temporary:
        entries = []
        for release in releases:
            inner = Path(temporary, release.name)
            inner.mkdir()
            entries.append(check(_write(release, inner)))
        return write_mirror(entries, folder)


def number_card(card: dict[str, Any], release: Release) -> dict[str, Any]:
    """``card`` with what the index says of the release."""
    known: dict[str, Any] = {
        "tune": release.tune,
        "version": release.version,
        "date": release.date,
        "replaces": release.replaces and release.replaces.hex(),
        "commit": release.commit,
        "before": release.before,
    }
    known = {key: value for key, value in known.items() if value is not None}
    others = {key: value for key, value in card.items() if key not in ("family", "id", *known)}
    return {"family": card["family"], "id": card["id"], **known, **others}


def show(commit: str | None, path: str) -> bytes | None:
    """A file of the project as it was in a commit; None if there is no such file, or no such commit."""
    done = subprocess.run(["git", "show", f"{commit}:{path}"], cwd=ROOT, capture_output=True)
    return done.stdout if done.returncode == 0 else None


def _write(release: Release, folder: Path) -> Path:
    """Write the files of a release to ``folder``; returns the path of the card."""
    stem, card = _find_card(release)
    for suffix in _SUFFIXES:
        if (data := show(release.commit, f"{_FOLDER}{stem}{suffix}")) is not None:
            (folder / f"{stem}{suffix}").write_bytes(data)
    path = folder / f"{stem}.json"
    path.write_text(json.dumps(number_card(card, release), indent=1) + "\n")
    return path


def _find_card(release: Release) -> tuple[str, dict[str, Any]]:
    """Name and content of the card of these weights."""
    names = (show(release.commit, _FOLDER) or b"").decode().splitlines()
    for name in names:
        if name.endswith(".json"):
            card = json.loads(show(release.commit, _FOLDER + name) or b"{}")
            if card.get("id") == release.id.hex():
                return name.removesuffix(".json"), card
    raise WeightsError(
        f"{release.name}: the history of the project is not here: fetch all of it with git"
    )


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    folder, *names = arguments
    releases = [r for r in replaced(shipped_index()) if not names or r.name in names]
    for release in extract(releases, Path(folder)):
        print(f"{release.name} {release.id.hex()} {release.size}")


if __name__ == "__main__":
    main(sys.argv[1:])
