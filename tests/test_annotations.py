"""Regions from files of tools for annotation: COCO's JSON, masks, pictures of labels."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.pictures import shallow_png
from vrcodec.errors import InputError, LimitError, UsageError, VrcError
from vrcodec.limits import DEFAULT_LIMITS, Limits
from vrcodec.maps.annotations import read_shape
from vrcodec.maps.shapes import Coverage

WIDTH, HEIGHT = 70, 40

# A frame, whose runs pycocotools has packed.
FRAME = np.zeros((HEIGHT, WIDTH))
FRAME[5:30, 10:60], FRAME[12:20, 20:33] = 1, 0
PACKED_FRAME = (
    "e<i0?000000000000000000^OI37MI37MI37MI37MI37MI37MI37MI37MI37MI37MI37MI37MI37?000"
    "0000000000000000000000000000000000000000000000000[<"
)


def annotation(number: int, category: int, **given: Any) -> dict[str, Any]:
    return {"id": number, "image_id": 7, "category_id": category, "iscrowd": 0, **given}


def runs_of(mask: np.ndarray) -> list[int]:
    """By their definition: outside and inside in turn, column by column."""
    flat = [0, *mask.T.ravel().astype(int)]
    starts = [0, *(k for k in range(1, len(flat)) if flat[k] != flat[k - 1]), len(flat)]
    runs = np.diff(starts).tolist()
    return [runs[0] - 1, *runs[1:]]


CONTENT: dict[str, Any] = {
    "info": {},
    "images": [{"id": 7, "file_name": "a.png", "width": WIDTH, "height": HEIGHT}],
    "categories": [{"id": 1, "name": "person"}, {"id": 2, "name": "traffic light"}],
    "annotations": [
        annotation(
            11,
            1,
            bbox=[0, 0, 40, 32],
            segmentation=[[0, 0, 32, 0, 32, 32], [32, 0, 40, 0, 40, 32, 32, 32]],
        ),
        annotation(
            12,
            2,
            bbox=[10, 5, 50, 25],
            segmentation={"size": [HEIGHT, WIDTH], "counts": runs_of(FRAME)},
        ),
        annotation(
            13,
            2,
            bbox=[10, 5, 50, 25],
            segmentation={"size": [HEIGHT, WIDTH], "counts": PACKED_FRAME},
        ),
        annotation(14, 1, bbox=[40.5, 33.5, 3, 2], segmentation=[]),
    ],
}


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Any], Path]:
    def write_json(content: Any) -> Path:
        path = tmp_path / "labels.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write_json


def covered(path: Path, selection: str | None = None) -> Coverage:
    return read_shape(path, selection, DEFAULT_LIMITS).coverage(WIDTH, HEIGHT)


# --- COCO ---


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ("11", [[0.5, 1, 0.5, 0, 0], [0, 0.5, 0.5, 0, 0], [0, 0, 0, 0, 0]]),
        ("14", [[0, 0, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 1, 0, 0]]),
        ("person", [[0.5, 1, 0.5, 0, 0], [0, 0.5, 0.5, 0, 0], [0, 0, 1, 0, 0]]),
    ],
)
def test_annotations_by_category_and_id(
    write: Callable[[Any], Path], selection: str, expected: list[list[float]]
) -> None:
    assert covered(write(CONTENT), selection) == pytest.approx(np.array(expected), abs=1e-9)


@pytest.mark.parametrize("selection", ["12", "13"])
def test_runs_packed_and_plain(write: Callable[[Any], Path], selection: str) -> None:
    from vrcodec.maps.levels import cell_means

    expected = cell_means(FRAME, WIDTH, HEIGHT)
    assert covered(write(CONTENT), selection) == pytest.approx(expected)


def test_without_a_selection_all_annotations_count(write: Callable[[Any], Path]) -> None:
    parts = sum(covered(write(CONTENT), str(number)) for number in (11, 12, 13, 14))
    assert covered(write(CONTENT)) == pytest.approx(np.minimum(parts, 1))


def test_a_category_that_is_not_there(write: Callable[[Any], Path]) -> None:
    with pytest.raises(
        UsageError, match=r"'dog', nor has this id; its categories: person, traffic light"
    ):
        covered(write(CONTENT), "dog")
    with pytest.raises(UsageError, match="no annotations"):
        covered(write({**CONTENT, "annotations": []}))


def test_annotations_of_another_picture(write: Callable[[Any], Path]) -> None:
    """One that lies on its side, for example."""
    shape = read_shape(write(CONTENT), None, DEFAULT_LIMITS)
    with pytest.raises(UsageError, match="annotated was a picture of 70x40; this one is 40x70"):
        shape.coverage(HEIGHT, WIDTH)
    several = copy.deepcopy(CONTENT)
    several["annotations"][0]["image_id"] = 8
    with pytest.raises(InputError, match="several pictures"):
        covered(write(several))


def test_a_picture_that_promises_too_much(write: Callable[[Any], Path]) -> None:
    with pytest.raises(LimitError, match="--max-pixels"):
        read_shape(write(CONTENT), None, Limits(max_pixels=1000))


@pytest.mark.parametrize(
    "segmentation",
    [
        [[1, 2, 3]],
        [[1, 2, 3, 4]],
        [[0, 0, 1, 1, float("nan"), 2]],
        [[0, 0, 1, 1, 1e300, 2]],
        [["a"]],
        [5],
        "text",
        {"size": [HEIGHT, WIDTH]},
        {"size": [WIDTH, HEIGHT], "counts": [HEIGHT * WIDTH]},
        {"size": [HEIGHT, WIDTH], "counts": [HEIGHT * WIDTH - 1]},
        {"size": [HEIGHT, WIDTH], "counts": [-1, HEIGHT * WIDTH + 1]},
        {"size": [HEIGHT, WIDTH], "counts": [2**62, 2**62, 2**62, 2**62, HEIGHT * WIDTH]},
        {"size": [HEIGHT, WIDTH], "counts": [10**30]},
        {"size": [HEIGHT, WIDTH], "counts": []},
        {"size": [HEIGHT, WIDTH], "counts": ""},
        {"size": [HEIGHT, WIDTH], "counts": "o" * 10**6},
        {"size": [HEIGHT, WIDTH], "counts": PACKED_FRAME[:-1]},
    ],
)
def test_segmentations_that_are_none(write: Callable[[Any], Path], segmentation: object) -> None:
    content = {
        **CONTENT,
        "annotations": [annotation(1, 1, bbox=[0, 0, 9, 9], segmentation=segmentation)],
    }
    with pytest.raises(InputError, match=r"labels\.json: not annotations in COCO's format"):
        covered(write(content))


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "5",
        "{}",
        "[" * 10**5,
        '{"images": 5, "annotations": [5]}',
        {**CONTENT, "images": []},
    ],
)
def test_files_that_are_no_annotations(write: Callable[[Any], Path], content: object) -> None:
    with pytest.raises(InputError, match=r"labels\.json: not annotations in COCO's format"):
        covered(write(content))


@given(st.text(st.characters(min_codepoint=40, max_codepoint=120), max_size=40))
def test_any_letters_are_runs_or_refused(counts: str) -> None:
    from vrcodec.maps.annotations import _decode_runs

    try:
        mask = _decode_runs(counts, 9, 6)
    except (OverflowError, ValueError):
        return
    assert mask.shape == (6, 9)


# --- masks and labels ---


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """Index 1, red, at the left; index 2, blue, in the middle of a cell."""
    indices = np.zeros((HEIGHT, WIDTH), np.uint8)
    indices[:, :32], indices[:, 40:48] = 1, 2
    image = Image.fromarray(indices)
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 0, 255])
    image.save(tmp_path / "labels.png")
    return tmp_path / "labels.png"


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ("1", [1, 1, 0, 0, 0]),
        ("ff0000", [1, 1, 0, 0, 0]),
        ("2", [0, 0, 0.5, 0, 0]),
        ("0000FF", [0, 0, 0.5, 0, 0]),
    ],
)
def test_labels_by_index_and_colour(labels: Path, selection: str, expected: list[float]) -> None:
    assert covered(labels, selection).tolist() == [expected] * 3


def test_labels_of_other_modes(labels: Path) -> None:
    palette = Image.open(labels)
    indices = np.asarray(palette)
    palette.convert("RGB").save(labels.with_name("colours.png"))
    Image.fromarray(indices.astype(np.uint16) * 300).save(labels.with_name("deep.png"))
    Image.fromarray(indices == 1).save(labels.with_name("bilevel.png"))
    expected = covered(labels, "1").tolist()
    assert covered(labels.with_name("colours.png"), "ff0000").tolist() == expected
    assert covered(labels.with_name("deep.png"), "300").tolist() == expected
    assert covered(labels.with_name("bilevel.png"), "1").tolist() == expected
    assert covered(labels.with_name("bilevel.png")).tolist() == expected
    with pytest.raises(UsageError, match="no indices: choose one such as #ff0000"):
        covered(labels.with_name("colours.png"), "1")


def test_labels_of_few_bits(labels: Path) -> None:
    """Pillow stretches them to 8."""
    indices = np.asarray(Image.open(labels))
    for bits in (2, 4):
        path = labels.with_name(f"{bits}.png")
        path.write_bytes(shallow_png(indices, bits).getvalue())
        assert covered(path, "2").tolist() == covered(labels, "2").tolist()


@pytest.mark.parametrize("selection", ["3", "00ff00", "red", "-1"])
def test_labels_that_are_not_there(labels: Path, selection: str) -> None:
    with pytest.raises(UsageError, match=selection):
        covered(labels, selection)


def test_labels_are_turned_upright(labels: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3  # Upside down.
    Image.open(labels).save(labels, exif=exif)
    assert covered(labels, "1")[0].tolist() == pytest.approx([0, 0, 10 / 16, 1, 1])


@pytest.mark.parametrize("name", ["none.json", "none.png", "none.npy"])
def test_files_that_are_not_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=f"{name}: cannot be read"):
        covered(tmp_path / name)


@pytest.mark.parametrize("selection", [None, "1", "ff0000"])
def test_pictures_that_are_none(tmp_path: Path, selection: str | None) -> None:
    (tmp_path / "labels.png").write_bytes(b"garbage")
    with pytest.raises(VrcError, match=r"labels\.png"):
        covered(tmp_path / "labels.png", selection)
