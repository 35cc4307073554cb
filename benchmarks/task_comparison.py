"""What a classifier makes of files with one rate, and of files of that size with maps for its loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from vrcodec.bitstream.quality_map import QualityMap
from vrcodec.bitstream.rate_setting import RateSetting
from vrcodec.catalog import find_by_family
from vrcodec.codec import Decoder, Encoder
from vrcodec.maps.levels import map_from_levels
from vrcodec.maps.tasks import task_map
from vrcodec.picture.picture import Picture
from vrcodec.search.rate_control import encode_to_target
from vrcodec.search.target import Target

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Example:
    """``pixels`` (H, W, 3) and the number of their class. ``place``: rows and columns to look at."""

    pixels: Pixels
    label: int
    place: tuple[slice, slice] = (slice(None), slice(None))


# A picture (1, 3, H, W) in [0, 1] -> logits (1, classes).
Classifier = Callable[[Tensor, Example], Tensor]


@dataclass(frozen=True)
class Score:
    """``accuracy``: share of correct classifications. ``loss``: mean cross entropy, nats. ``bpp``: of files."""

    accuracy: float
    loss: float
    bpp: float


def as_tensor(pixels: Pixels) -> Tensor:
    """(H, W, 3) uint8 -> (1, 3, H, W) in [0, 1]."""
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1).unsqueeze(0).float() / 255


def compare_maps(
    classifier: Classifier, drawn: Sequence[Example], rates: Sequence[float], steps: int
) -> list[dict[str, Score]]:
    """For each rate the scores of pictures with that rate everywhere, and with maps for the task.

    Each file with a map is at most as large as that with the rate everywhere.
    """
    maps = [make_task_map(classifier, example, steps) for example in drawn]
    return [_compare_at_rate(classifier, drawn, maps, rate) for rate in rates]


def _compare_at_rate(
    classifier: Classifier, drawn: Sequence[Example], maps: Sequence[QualityMap], rate: float
) -> dict[str, Score]:
    encoder, decoder = Encoder("qmap"), Decoder()
    files: dict[str, list[bytes]] = {"uniform": [], "task": []}
    for example, qmap in zip(drawn, maps, strict=True):
        picture = Picture.from_array(example.pixels)
        plain = encoder.encode(picture, RateSetting.from_rate(rate))
        target = Target("size", len(plain))
        mapped = encode_to_target(
            encoder, decoder, picture, target, qmap=qmap, strict=True, lossless="never"
        )
        files["uniform"].append(plain)
        files["task"].append(mapped.data)
    pixels = sum(example.pixels[..., 0].size for example in drawn)
    return {
        name: Score(
            *evaluate_classifier(
                classifier, [decoder.decode(data).pixels for data in coded], drawn
            ),
            bpp=8 * sum(len(data) for data in coded) / pixels,
        )
        for name, coded in files.items()
    }


def make_task_map(classifier: Classifier, example: Example, steps: int) -> QualityMap:
    """The map of a picture for the classifier's loss."""
    label = torch.tensor([example.label])

    def task(decoded: Tensor, original: Tensor) -> Tensor:
        return F.cross_entropy(classifier(decoded, example), label)

    levels = task_map(find_by_family("qmap"), example.pixels, task, steps=steps, device="cpu")
    height, width = example.pixels.shape[:2]
    return map_from_levels(levels, width, height)


def evaluate_classifier(
    classifier: Classifier, pictures: Sequence[Pixels], drawn: Sequence[Example]
) -> tuple[float, float]:
    """Accuracy on ``pictures``, which are those of ``drawn`` or decoded; and the mean cross entropy in nats."""
    with torch.no_grad():
        logits = torch.cat(
            [classifier(as_tensor(p), example) for p, example in zip(pictures, drawn, strict=True)]
        )
    expected = torch.tensor([example.label for example in drawn])
    accuracy = float((logits.argmax(1) == expected).float().mean())
    return accuracy, float(F.cross_entropy(logits, expected))
