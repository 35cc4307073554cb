"""A folder of small pictures, and no results of earlier runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import skimage.data
from PIL import Image

from vrcodec.bench.codecs import Codec
from vrcodec.bench.measure import RoundTrip, Sample
from vrcodec.picture.picture import Picture

Measure = Callable[[RoundTrip, Codec, Picture, Sequence[float]], Iterator[Sample]]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def make_pictures(folder: Path) -> Path:
    """Two colour photographs and a grey one, large enough for MS-SSIM."""
    folder.mkdir()
    Image.fromarray(skimage.data.astronaut()[:176, 100:276]).save(folder / "astronaut.png")
    Image.fromarray(skimage.data.coffee()[:164, 100:280]).save(folder / "coffee.png")
    Image.fromarray(skimage.data.camera()[100:264, 100:290]).save(folder / "grey.png")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_pictures(tmp_path / "pictures")


@pytest.fixture
def measured_codecs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The codec of every call that measures."""
    names: list[str] = []
    original = RoundTrip.measure

    def measure(self: RoundTrip, codec: Codec, *rest: Any) -> Iterator[Sample]:
        names.append(codec.name)
        return original(self, codec, *rest)

    monkeypatch.setattr(RoundTrip, "measure", measure)
    return names


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of points of every call that measures."""
    counts: list[int] = []
    original: Measure = RoundTrip.measure

    def measure(
        self: RoundTrip, codec: Codec, picture: Picture, points: Sequence[float]
    ) -> Iterator[Sample]:
        counts.append(len(points))
        return original(self, codec, picture, points)

    monkeypatch.setattr(RoundTrip, "measure", measure)
    return counts
