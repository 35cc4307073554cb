"""What the conformance set has, as `cases.json` lists it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CASES = Path(__file__).parent / "cases.json"
# left, top, width, height, in pixels.
Area = tuple[int, int, int, int]


@dataclass(frozen=True)
class Decoded:
    """A ``file`` that a decoder decodes, and the ``picture`` that it must come close to, a PNG.

    ``symbols``: SHA-256 of its symbols, as README.md defines it, or None without a model. ``tolerance``: by how
    much a colour sample may differ. ``exact``: areas in which none may. ``shows``: what it is there for.
    ``partial``: the file ends early, and is for readers that take the levels that are complete.
    """

    file: Path
    picture: Path
    symbols: str | None
    tolerance: int
    exact: tuple[Area, ...] = ()
    shows: str = ""
    partial: bool = False


@dataclass(frozen=True)
class Refused:
    """A ``file`` that a decoder refuses, and ``why``."""

    file: Path
    why: str


@dataclass(frozen=True)
class ConformanceSet:
    """All cases, and the weights that the files name: ids in hexadecimal -> weights files."""

    decoded: tuple[Decoded, ...]
    refused: tuple[Refused, ...]
    weights: dict[str, Path]


def load_cases(path: Path = CASES) -> ConformanceSet:
    """The set that a JSON file describes; paths in it are relative to its folder."""
    content = json.loads(path.read_text())
    folder = path.parent
    return ConformanceSet(
        tuple(_decoded(folder, case) for case in content["decoded"]),
        tuple(Refused(_resolve(folder, c["file"]), c["why"]) for c in content["refused"]),
        {identity: _resolve(folder, name) for identity, name in content["weights"].items()},
    )


def _decoded(folder: Path, case: dict[str, Any]) -> Decoded:
    file = _resolve(folder, case["file"])
    picture = _resolve(folder, case["picture"]) if "picture" in case else file.with_suffix(".png")
    return Decoded(
        file,
        picture,
        case["symbols"],
        case["tolerance"],
        tuple(tuple(area) for area in case.get("exact", ())),
        case["shows"],
        case.get("partial", False),
    )


def _resolve(folder: Path, name: str) -> Path:
    return (folder / name).resolve()
