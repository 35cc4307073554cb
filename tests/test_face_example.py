"""The example of a real classifier for which quality maps are made: it works, as its package has it."""

from __future__ import annotations

import pytest

from tests.conftest import needs_torch

pytestmark = needs_torch


def test_the_classifier_knows_faces() -> None:
    pytest.importorskip("facenet_pytorch")
    from benchmarks import faces
    from benchmarks.task_comparison import compare_maps, evaluate_classifier

    drawn, classifier = faces.examples(8, 8, seed=1), faces.load_classifier()
    assert [example.label for example in drawn] == [1] * 8 + [0] * 8
    pictures = [example.pixels for example in drawn]
    accuracy, _ = evaluate_classifier(classifier, pictures, drawn)
    assert accuracy == 1
    (scores,) = compare_maps(classifier, drawn[7:9], rates=[0.3], steps=1)
    assert scores["task"].bpp <= scores["uniform"].bpp
