"""The plan of the package: what lies at its top, what it exports, and that imports run downwards only."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import vrcodec
from tests.conftest import ROOT

PACKAGE = ROOT / "vrcodec"

# The rooms of vrcodec/ from the ground up; those of one layer do not know each other. docs/ARCHITECTURE.md says
# what each is for.
LAYERS = (
    ("errors", "own_state"),
    ("extras",),
    ("limits", "rate", "timing", "web", "catalog", "files", "kernels"),
    ("metrics",),
    ("picture",),
    ("regions",),
    ("lossless", "engine"),
    ("bitstream",),
    ("models",),
    ("maps", "refinement", "training", "weights"),
    ("codec",),
    ("search", "viewer", "batch"),
    ("bench", "api"),
    ("doctor", "pillow_plugin"),
    ("cli",),
)

# Files of the top level that are in no layer: what Python runs or imports by their names.
ENTRANCES = ("__init__", "__main__")


def modules() -> dict[str, Path]:
    """Every module by its dotted name."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(path: Path, known: dict[str, Path]) -> Iterator[str]:
    """The modules of the package that a file names, at its top, inside functions, or for types alone."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module in known:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in known else node.module


def rooms_at_the_top() -> set[str]:
    files = {path.stem for path in PACKAGE.glob("*.py")}
    return files | {path.parent.name for path in PACKAGE.glob("*/__init__.py")}


def test_the_top_level_is_what_the_layers_list() -> None:
    layers = {room for layer in LAYERS for room in layer}
    assert rooms_at_the_top() == layers | set(ENTRANCES)


def test_imports_run_downwards() -> None:
    height = {room: level for level, layer in enumerate(LAYERS) for room in layer}
    known = modules()
    upward = []
    for name, path in known.items():
        room = name.split(".")[1] if "." in name else "__init__"
        if room in ENTRANCES:
            continue
        for target in imported(path, known):
            # The package itself has the version, and loads the rest when it is asked for.
            other = target.split(".")[1] if "." in target else room
            if other != room and height[other] >= height[room]:
                upward.append(f"{name} imports {target}")
    assert upward == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    known = modules()
    below = {name: set(imported(path, known)) - {name, "vrcodec"} for name, path in known.items()}
    while free := {name for name, targets in below.items() if not targets}:
        below = {name: targets - free for name, targets in below.items() if name not in free}
    assert below == {}


def test_what_is_exported_is_what_the_readme_documents() -> None:
    readme = (ROOT / "README.md").read_text()
    python = "\n".join(re.findall(r"```python\n(.*?)```", readme, re.DOTALL))
    assert set(re.findall(r"vrcodec\.(\w+)\(", python)) == set(vrcodec.__all__)
    assert all(callable(getattr(vrcodec, name)) for name in vrcodec.__all__)


def test_the_architecture_page_shows_the_layers() -> None:
    page = (ROOT / "docs" / "ARCHITECTURE.md").read_text()
    assert "\n".join(", ".join(layer) for layer in reversed(LAYERS)) in page


@pytest.mark.parametrize("room", sorted(rooms_at_the_top() - set(ENTRANCES)))
def test_the_architecture_page_tells_of_every_room(room: str) -> None:
    page = (ROOT / "docs" / "ARCHITECTURE.md").read_text()
    assert re.search(rf"`{room}(/|\.py)?`", page)
