"""Tests of weights have a store of their own, and no other weights but those of the package."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def own_store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_weights: None) -> None:
    monkeypatch.delenv("VRCODEC_WEIGHTS")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
