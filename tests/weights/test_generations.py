"""Files outlive their weights: those of every generation decode again, with weights from the history."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import ROOT
from tests.extent import extent
from tools.weights_history import extract, replaced, show
from tools.weights_index import WEIGHTS, update_index
from vrcodec.api import decode
from vrcodec.catalog import INDEX_NAME, find_release, shipped_index
from vrcodec.errors import WeightsError
from vrcodec.weights import fetch

FILES = ROOT / "tests" / "generations"
REPLACED = {release.name: release for release in replaced(shipped_index())}


@cache
def has_history() -> bool:
    """Whether the commits with replaced weights are here."""
    return all(show(release.commit, "weights/") for release in REPLACED.values())


needs_history = pytest.mark.skipif(
    "not has_history()", reason="needs the history of the project (git)"
)


def test_there_is_a_file_of_every_generation_that_was_replaced_before_1_0() -> None:
    assert {path.stem for path in FILES.glob("*.vrc")} == {
        name for name, release in REPLACED.items() if release.before == "1.0"
    }


@needs_history
@pytest.mark.parametrize("name", extent(("gained-1", "qarv-1"), tuple(REPLACED)))
def test_a_file_of_a_generation_decodes_again(name: str, tmp_path: Path) -> None:
    """The file and its picture are of the version of that day."""
    data = (FILES / f"{name}.vrc").read_bytes()
    with pytest.raises(WeightsError, match=f"weights fetch {REPLACED[name].id.hex()}") as caught:
        decode(data)
    extract([REPLACED[name]], tmp_path / "hub")
    assert caught.value.id is not None
    entry = fetch(caught.value.id, hub=str(tmp_path / "hub"))
    assert entry.name == name
    decoded = np.asarray(decode(data)).astype(int)
    expected = np.asarray(Image.open(FILES / f"{name}.png"))
    assert np.abs(decoded - expected).max() <= 1


@needs_history
def test_weights_come_out_of_the_history_as_the_index_says(tmp_path: Path) -> None:
    (release,) = extract([REPLACED["slim-1"]], tmp_path)
    assert release == REPLACED["slim-1"]


def test_the_index_is_that_of_what_is_shipped() -> None:
    assert (WEIGHTS / INDEX_NAME).read_bytes() == update_index(), (
        "run python -m tools.weights_index"
    )


def test_generations_are_numbered_without_a_gap() -> None:
    index = shipped_index()
    for family in {release.family for release in index}:
        of_family = [release for release in index if release.family == family]
        assert [release.version for release in of_family] == list(range(1, len(of_family) + 1))
    for release in index:
        if release.replaces is not None:
            older = find_release(index, release.replaces)
            assert older is not None
            assert (older.family, older.tune) == (release.family, release.tune)
            assert older.version < release.version


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs the history of the project (git)")
def test_no_generation_that_was_ever_committed_is_missing() -> None:
    """In a whole history: every content of a weights file that a commit had is in the index."""
    log = subprocess.run(
        ["git", "log", "--format=", "--raw", "--abbrev=40", "--no-renames", "--", "weights/*.safetensors"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    blobs = {line.split()[3] for line in log.stdout.splitlines()} - {"0" * 40}
    if not has_history():
        pytest.skip("needs the history of the project (git)")
    known = {file.size for r in shipped_index() for file in r.files.values()}
    sizes = subprocess.run(
        ["git", "cat-file", "--batch-check=%(objectsize)"],
        cwd=ROOT, input="\n".join(sorted(blobs)), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert {int(size) for size in sizes.stdout.split()} <= known
