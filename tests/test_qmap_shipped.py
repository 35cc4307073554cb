"""What quality maps promise, with the shipped weights: regions keep their quality, tasks their detail."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.qmaps import Coder, draw_text, region_figures, writing_figures
from benchmarks.task_comparison import compare_maps, evaluate_classifier
from benchmarks.task_example import examples, train_classifier
from tests.extent import photographs, thorough_only
from vrcodec.codec import Decoder, Encoder
from vrcodec.picture.picture import Picture


@pytest.fixture(autouse=True)
def shipped_weights(tiny_weights: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VRCODEC_WEIGHTS")


@pytest.fixture
def coder() -> Coder:
    return Coder(Encoder("qmap"), Decoder())


def pictures() -> list[Picture]:
    return [p for p in photographs().values() if p.width > 128][:10]


def test_a_region_is_as_good_as_if_all_were(coder: Coder) -> None:
    """Region 0.9, background 0.2, beside 0.9 everywhere; the means of docs/QMAP.md."""
    found = [region_figures(coder, picture) for picture in pictures()]
    assert float(np.mean([f.after - f.before for f in found])) > -0.3
    assert float(np.mean([f.saved for f in found])) > 0.3
    assert all(f.mapped_bytes < f.plain_bytes for f in found)


def test_a_map_for_writing_sharpens_it_at_the_same_size(coder: Coder) -> None:
    for picture in pictures()[:2]:
        found = writing_figures(coder, *draw_text(picture), 0.4)
        assert found.mapped_bpp <= found.plain_bpp
        assert found.mapped_edges > found.plain_edges + 0.5


@thorough_only
def test_a_map_for_a_task_loses_less_accuracy_at_the_same_size() -> None:
    classifier, drawn = train_classifier(), examples(16, seed=777)
    before, _ = evaluate_classifier(classifier, [e.pixels for e in drawn], drawn)
    (scores,) = compare_maps(classifier, drawn, rates=[0.1], steps=20)
    print(f"before coding {before:.1%}", scores)
    uniform, task = scores["uniform"], scores["task"]
    assert before > 0.9
    assert task.bpp <= uniform.bpp
    assert before - task.accuracy < before - uniform.accuracy
    assert task.loss < uniform.loss
