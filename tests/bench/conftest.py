"""A folder of small pictures, and no results of earlier runs."""

from __future__ import annotations

from pathlib import Path

import pytest
import skimage.data
from PIL import Image


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two colour photographs and a grey one, large enough for MS-SSIM."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.fromarray(skimage.data.astronaut()[:176, 100:276]).save(folder / "astronaut.png")
    Image.fromarray(skimage.data.coffee()[:164, 100:280]).save(folder / "coffee.png")
    Image.fromarray(skimage.data.camera()[100:264, 100:290]).save(folder / "grey.png")
    return folder
