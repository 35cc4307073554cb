"""`benchmarks.effort` measures piece by piece, and writes its page from what it has."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import effort, effort_page
from benchmarks.timing import photograph
from vrcodec.catalog import DEFAULT_MODEL

Script = Callable[..., None]
BLOCKS = ("bits", "seconds", "rivals", "tune", "eye")


@pytest.fixture
def script(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Script:
    """The script on three small pictures, with a page of its own."""
    monkeypatch.setattr(effort_page, "DOCUMENT", tmp_path / "E.md")
    monkeypatch.setattr(effort_page, "PLOT", tmp_path / "e.svg")
    monkeypatch.setattr(effort, "RECORD", tmp_path / "e.json")
    monkeypatch.setattr(effort, "photograph", lambda: photograph(64, 64))
    monkeypatch.setattr(effort, "RIVALS_WITH_EFFORTS", ("avif",))
    empty = "".join(f"<!-- {b} -->\n<!-- end of {b} -->\n" for b in ("plot", *BLOCKS))
    (tmp_path / "E.md").write_text(f"Words before.\n{empty}Words after.\n")

    def run(*arguments: str) -> None:
        few = ("--families", DEFAULT_MODEL, "--rates", "0,1")
        monkeypatch.setattr(sys, "argv", ["effort", str(folder), *few, *arguments])
        effort.main()

    return run


def test_all_parts(script: Script, tmp_path: Path) -> None:
    script("--efforts", "2", "--tune-effort", "1", "--every", "2")
    text = (tmp_path / "E.md").read_text()
    assert text.startswith("Words before.\n")
    assert text.endswith("<!-- end of eye -->\nWords after.\n")
    assert "means over 2 pictures" in text
    record = json.loads((tmp_path / "e.json").read_text())
    assert f"| {DEFAULT_MODEL} | `{record['tune']['weights']}` | 2 | " in text
    assert "| AVIF 4:4:4 | speed 7 | " in text
    assert "bits at equal SSIMULACRA 2" in text
    assert "](e.svg)" in text
    assert (tmp_path / "e.svg").read_bytes().startswith(b"<?xml")
    names = {DEFAULT_MODEL, f"{DEFAULT_MODEL}-effort2", "avif-speed9", "avif-speed7"}
    assert record["seconds"]["rows"].keys() == names


def test_nothing_is_measured_twice(
    script: Script, tmp_path: Path, measured_codecs: list[str]
) -> None:
    script("--part", "curves", "--efforts", "1")
    measured_codecs.clear()
    script("--part", "curves", "--efforts", "1,2")
    assert measured_codecs == [f"{DEFAULT_MODEL}-effort2"] * 3
    rows = json.loads((tmp_path / "e.json").read_text())["curves"]["rows"]
    assert list(rows) == [DEFAULT_MODEL, f"{DEFAULT_MODEL}-effort1", f"{DEFAULT_MODEL}-effort2"]


def test_seconds_add_up_on_one_machine_only(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rows() -> list[str]:
        return list(json.loads((tmp_path / "e.json").read_text())["seconds"]["rows"])

    script("--part", "seconds", "--efforts", "1")
    script("--part", "seconds", "--efforts", "2")
    assert rows() == [DEFAULT_MODEL, f"{DEFAULT_MODEL}-effort1", f"{DEFAULT_MODEL}-effort2"]
    monkeypatch.setattr(effort, "describe_machine", lambda *_: {"cpu": "another", "threads": 1})
    script("--part", "seconds", "--efforts", "0")
    assert rows() == [DEFAULT_MODEL]
