"""A real classifier with real pictures: is this a face? To measure quality maps made for it.

The classifier is R-Net, the second network of MTCNN (Zhang et al. 2016), with the weights in the package
facenet-pytorch (MIT licence); the faces, and what is none, are the 25 x 25 pixels each of scikit-image's
part of "Labeled Faces in the Wild". Each lies, as it is, somewhere in a part of a photograph, and the
classifier looks there. Nothing is fetched, and nothing trained.
"""

from __future__ import annotations

import numpy as np
import skimage.data
import torch
from facenet_pytorch.models.mtcnn import RNet
from torch import Tensor
from torch.nn import functional as F

from benchmarks.task_comparison import Classifier, Example

_SIDE = 128
_PHOTOGRAPHS = ("coffee", "chelsea")
# The first so many of the collection are faces, and as many others are none.
_FACES = 100
# What R-Net takes.
_INPUT_SIDE = 24
_LEAST_PROBABILITY = 1e-6


def examples(faces: int, others: int, seed: int) -> list[Example]:
    """So many pictures with a face (label 1), and with none (0), 128 x 128 each."""
    random = np.random.default_rng(seed)
    of_faces = random.permutation(_FACES)[:faces]
    of_others = _FACES + random.permutation(_FACES)[:others]
    return [_example(int(number), random) for number in (*of_faces, *of_others)]


def _example(number: int, random: np.random.Generator) -> Example:
    patch = (skimage.data.lfw_subset()[number] * 255).round().astype(np.uint8)
    photograph = getattr(skimage.data, _PHOTOGRAPHS[random.integers(len(_PHOTOGRAPHS))])()
    top, left = (int(random.integers(n - _SIDE + 1)) for n in photograph.shape[:2])
    pixels = photograph[top : top + _SIDE, left : left + _SIDE].copy()
    down, right = (int(random.integers(_SIDE - len(patch) + 1)) for _ in range(2))
    place = slice(down, down + len(patch)), slice(right, right + len(patch))
    pixels[place] = patch[..., None]
    return Example(pixels, int(number < _FACES), place)


def load_classifier() -> Classifier:
    """R-Net at the place of an example: logarithms of its two probabilities."""
    network = RNet().eval().requires_grad_(False)

    def classify(x: Tensor, example: Example) -> Tensor:
        patch = x[(..., *example.place)]
        size = (_INPUT_SIDE, _INPUT_SIDE)
        patch = F.interpolate(patch, size, mode="bilinear", align_corners=False, antialias=True)
        # The range that it was trained on.
        _, probabilities = network((255 * patch - 127.5) / 128)
        logits: Tensor = torch.log(probabilities.clamp(min=_LEAST_PROBABILITY))
        return logits

    return classify
