"""A picture and what is written of it."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from tests.conftest import Pixels
from vrcodec.errors import InputError
from vrcodec.picture.output_formats import WriteOptions
from vrcodec.picture.picture import Picture
from vrcodec.picture.writing import serialise_picture


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 2), np.float32),
        np.zeros((2, 2, 5), np.uint8),
        np.zeros((2, 2, 3), np.bool_),
        np.zeros((0, 2, 3), np.uint8),
        np.zeros(4, np.uint8),
    ],
)
def test_arrays_of_other_kinds_are_refused(array: np.ndarray) -> None:
    with pytest.raises(InputError):
        Picture.from_array(array)


@pytest.mark.parametrize("grey", [False, True])
def test_output_formats_hold_the_same_samples(photograph: Pixels, grey: bool) -> None:
    array = photograph[..., 0].copy() if grey else photograph
    picture = Picture.from_array(array)
    for output in ("png", "ppm"):
        with Image.open(io.BytesIO(serialise_picture(picture, WriteOptions(output)))) as image:
            assert image.mode == ("L" if grey else "RGB")
            assert (np.asarray(image) == array).all()
    assert (np.load(io.BytesIO(serialise_picture(picture, WriteOptions("npy")))) == array).all()


def test_grey_is_the_rounded_mean_of_the_channels() -> None:
    pixels = np.array([[[1, 1, 2], [1, 2, 2], [255, 255, 255]]], np.uint8)
    assert Picture(pixels, "L").to_array().tolist() == [[1, 2, 255]]
