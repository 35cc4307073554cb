"""What quality maps promise, with the shipped weights: regions keep their quality, tasks their detail."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import skimage.data

from benchmarks.qmaps import Coder, region_figures, writing_figures, written
from benchmarks.task_example import compare, examples, judged, trained_classifier
from vrcodec.codec import Decoder, Encoder
from vrcodec.picture.folders import read_folder
from vrcodec.picture.picture import Picture


@pytest.fixture(autouse=True)
def shipped_weights(tiny_weights: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VRCODEC_WEIGHTS")


@pytest.fixture
def coder() -> Coder:
    return Coder(Encoder("qmap"), Decoder())


def pictures() -> list[Picture]:
    """Ten Kodak pictures when VRCODEC_KODAK names their folder, else photographs of scikit-image."""
    folder = os.environ.get("VRCODEC_KODAK", "")
    if folder and Path(folder).is_dir():
        return list(read_folder(Path(folder)).values())[:10]
    names = ("astronaut", "coffee")
    return [Picture.from_array(getattr(skimage.data, name)()) for name in names]


def test_a_region_is_as_good_as_if_all_were(coder: Coder) -> None:
    """Region 0.9, background 0.2, beside 0.9 everywhere; the means of issue and document."""
    found = [region_figures(coder, picture) for picture in pictures()]
    assert float(np.mean([f.after - f.before for f in found])) > -0.3
    assert float(np.mean([f.saved for f in found])) > 0.3
    assert all(f.mapped_bytes < f.plain_bytes for f in found)


def test_a_map_for_writing_sharpens_it_at_the_same_size(coder: Coder) -> None:
    for picture in pictures()[:2]:
        found = writing_figures(coder, *written(picture), 0.4)
        assert found.mapped_bpp <= found.plain_bpp
        assert found.mapped_edges > found.plain_edges + 0.5


def test_a_map_for_a_task_loses_less_accuracy_at_the_same_size() -> None:
    classifier, drawn = trained_classifier(), examples(16, seed=777)
    before, _ = judged(classifier, [e.pixels for e in drawn], [e.label for e in drawn])
    (scores,) = compare(classifier, drawn, rates=[0.1], steps=20)
    print(f"before coding {before:.1%}", scores)
    uniform, task = scores["uniform"], scores["task"]
    assert before > 0.9
    assert task.bpp <= uniform.bpp
    assert before - task.accuracy < before - uniform.accuracy
    assert task.loss < uniform.loss
