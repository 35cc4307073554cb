"""`vrcodec doctor`: says what is there, and notices what is wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import GOLDEN
from vrcodec import __version__, catalog, doctor
from vrcodec.catalog import installed
from vrcodec.engine import Engine
from vrcodec.errors import UsageError

Run = Callable[..., int]


@pytest.fixture(autouse=True)
def only_tiny_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the tiny models, so that it can be damaged, and no others."""
    folder = tmp_path / "models"
    folder.mkdir()
    cards = (path for path in GOLDEN.glob("*.json") if not path.stem.endswith("expected"))
    for path in (*cards, *GOLDEN.glob("*.safetensors")):
        shutil.copy(path, folder)
    monkeypatch.setattr(installed, "search_path", lambda: [folder])
    monkeypatch.setattr(installed, "named_folders", lambda: [folder])
    monkeypatch.setattr(doctor, "search_path", lambda: [folder])
    monkeypatch.setattr(doctor, "_TIMING_SIZE", (32, 32))
    monkeypatch.setattr(doctor, "_TIMING_SECONDS", 0.0)
    return folder


def report(capsys: pytest.CaptureFixture[str]) -> dict:
    return json.loads(capsys.readouterr().out)


def test_all_is_well(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("doctor", "--json") == 0
    found = report(capsys)
    assert found["ok"]
    assert all(check["ok"] for check in found["checks"])
    assert found["versions"]["vrcodec"] == __version__
    names = {check["name"].split()[0] for check in found["checks"]}
    assert names == {"entropy", "device", "weights", "model", "speed"}
    assert min(found["speed"].values()) > 0


def test_the_text_says_the_same(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("doctor") == 0
    text = capsys.readouterr().out
    for check in doctor.diagnose().checks:
        assert check.name in text
    assert "WRONG" not in text


@pytest.mark.parametrize("family", ["gained", "slim", "qarv"])
def test_damaged_weights_are_named(
    run: Run, only_tiny_weights: Path, capsys: pytest.CaptureFixture[str], family: str
) -> None:
    path = next(entry.path for entry in catalog.installed_weights() if entry.family == family)
    assert path.parent == only_tiny_weights
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    assert run("doctor", "--json") == 1
    wrong = [check["name"] for check in report(capsys)["checks"] if not check["ok"]]
    assert any(name.startswith(f"weights {family}") for name in wrong)


def test_the_environment_is_told_without_secrets(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VRCODEC_HUB", "https://me:secret@example.org/weights?signature=secret")
    monkeypatch.setenv("VRCODEC_FETCH", "1")
    assert run("doctor", "--json") == 0
    environment = report(capsys)["environment"]
    assert environment["VRCODEC_FETCH"] == "1"
    assert environment["VRCODEC_HUB"] == "https://...@example.org/weights?..."


def test_another_coder_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "CODER_CRC32", doctor.CODER_CRC32 ^ 1)
    (check,) = [c for c in doctor.diagnose().checks if c.name == "entropy coder"]
    assert not check.ok
    assert not doctor.diagnose().ok


def test_a_device_that_is_not_there(run: Run) -> None:
    with pytest.raises(UsageError):
        doctor.diagnose(Engine("tpu"))
    assert run("doctor", "--device", "tpu") == 2
