"""A task that needs detail in one place of a picture, to show what a quality map for a task is worth.

Somewhere in a photograph lies a patch of fine stripes; a small network, trained here on pictures as they
are, says which way they run. Coded with few bits the stripes fade. A map made for the network's loss keeps
them, in a file of the same size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import skimage.data
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vrcodec.bitstream.quality_map import QualityMap
from vrcodec.bitstream.rate_setting import Setting
from vrcodec.catalog import find_by_family
from vrcodec.codec import Decoder, Encoder
from vrcodec.maps.levels import on_grid
from vrcodec.maps.tasks import task_map
from vrcodec.picture.picture import Picture
from vrcodec.search.rate_control import encode_to_target
from vrcodec.search.target import Target

DIRECTIONS = 4
_SIDE, _PATCH, _PERIOD, _AMPLITUDE = 192, 36, 5.0, 8.0
_BATCH, _LEARNING_RATE = 32, 3e-3
# What stripes are is learnt faster where there is little else: (side of the pictures, steps at most, share of
# right answers that ends it).
_STAGES = ((64, 600, 0.99), (_SIDE, 100, 0.98))
_PHOTOGRAPHS = ("astronaut", "coffee", "chelsea", "rocket")

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Example:
    """``pixels`` (192, 192, 3); ``label``: the direction of the stripes, 0 .. 3."""

    pixels: Pixels
    label: int


@dataclass(frozen=True)
class Score:
    """``accuracy``: the share classified rightly. ``loss``: mean cross entropy, nats. ``bpp``: of files."""

    accuracy: float
    loss: float
    bpp: float


def examples(count: int, seed: int, side: int = _SIDE) -> list[Example]:
    """Square parts of photographs, each with a patch of stripes somewhere."""
    random = np.random.default_rng(seed)
    photographs = [getattr(skimage.data, name)() for name in _PHOTOGRAPHS]
    chosen = (photographs[random.integers(len(photographs))] for _ in range(count))
    return [_example(photograph, side, random) for photograph in chosen]


def _example(photograph: Pixels, side: int, random: np.random.Generator) -> Example:
    top, left = (int(random.integers(n - side + 1)) for n in photograph.shape[:2])
    part = photograph[top : top + side, left : left + side].astype(float)
    label = int(random.integers(DIRECTIONS))
    y, x = np.mgrid[:_PATCH, :_PATCH]
    angle = np.pi * label / DIRECTIONS
    along = x * np.cos(angle) + y * np.sin(angle)
    wave = np.sin(2 * np.pi * along / _PERIOD + random.uniform(0, 2 * np.pi))
    down, right = random.integers(side - _PATCH + 1, size=2)
    part[down : down + _PATCH, right : right + _PATCH] += _AMPLITUDE * wave[..., None]
    return Example(part.clip(0, 255).round().astype(np.uint8), label)


def as_tensor(pixels: Pixels) -> Tensor:
    """(H, W, 3) uint8 -> (1, 3, H, W) in [0, 1]."""
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1).unsqueeze(0).float() / 255


class _Detail(nn.Module):
    """What a picture is beyond its blurred self: the stripes, and edges."""

    def forward(self, x: Tensor) -> Tensor:
        return x - F.avg_pool2d(x, 5, stride=1, padding=2, count_include_pad=False)


def trained_classifier(seed: int = 0) -> nn.Module:
    """A small network, (B, 3, H, W) in [0, 1] -> (B, 4) logits, trained in less than a minute."""
    torch.manual_seed(seed)
    network = nn.Sequential(
        _Detail(),
        nn.Conv2d(3, 16, 7, stride=2, padding=3),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.Conv2d(32, 32, 3, padding=1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.AdaptiveMaxPool2d(1),
        nn.Flatten(),
        nn.Linear(32, DIRECTIONS),
    )
    optimizer = torch.optim.Adam(network.parameters(), _LEARNING_RATE)
    for side, steps, enough in _STAGES:
        _train(network, optimizer, side, steps, enough, seed)
    return network.eval().requires_grad_(False)


def _train(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    side: int,
    steps: int,
    enough: float,
    seed: int,
) -> None:
    right = 0.0
    for step in range(steps):
        drawn = examples(_BATCH, 1000 * side + step + seed, side)
        x = torch.cat([as_tensor(e.pixels) for e in drawn])
        labels = torch.tensor([e.label for e in drawn])
        logits = network(x)
        optimizer.zero_grad()
        F.cross_entropy(logits, labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        right = 0.95 * right + 0.05 * float((logits.argmax(1) == labels).float().mean())
        if right > enough:
            return


def compare(
    classifier: nn.Module, drawn: Sequence[Example], rates: Sequence[float], steps: int
) -> list[dict[str, Score]]:
    """For each rate the scores of pictures with that rate everywhere, and with maps for the task.

    Each file with a map is at most as large as that with the rate everywhere.
    """
    maps = [map_for(classifier, example, steps) for example in drawn]
    return [_compare_at(classifier, drawn, maps, rate) for rate in rates]


def _compare_at(
    classifier: nn.Module, drawn: Sequence[Example], maps: Sequence[QualityMap], rate: float
) -> dict[str, Score]:
    encoder, decoder = Encoder("qmap"), Decoder()
    files: dict[str, list[bytes]] = {"uniform": [], "task": []}
    for example, qmap in zip(drawn, maps, strict=True):
        picture = Picture.from_array(example.pixels)
        plain = encoder.encode(picture, Setting.at(rate))
        target = Target("size", len(plain))
        found = encode_to_target(encoder, decoder, picture, target, qmap=qmap, strict=True)
        files["uniform"].append(plain)
        files["task"].append(found.data)
    labels = [example.label for example in drawn]
    return {
        name: Score(
            *judged(classifier, [decoder.decode(data).pixels for data in own], labels),
            bpp=8 * float(np.mean([len(data) for data in own])) / _SIDE**2,
        )
        for name, own in files.items()
    }


def map_for(classifier: nn.Module, example: Example, steps: int) -> QualityMap:
    """The map of a picture for the classifier's loss."""
    label = torch.tensor([example.label])

    def task(decoded: Tensor, original: Tensor) -> Tensor:
        return F.cross_entropy(classifier(decoded), label)

    levels = task_map(find_by_family("qmap"), example.pixels, task, steps=steps)
    return on_grid(levels, _SIDE, _SIDE)


def judged(
    classifier: nn.Module, pictures: Sequence[Pixels], labels: Sequence[int]
) -> tuple[float, float]:
    """The share of pictures that is classified rightly, and the mean cross entropy in nats."""
    logits = torch.cat([classifier(as_tensor(pixels)) for pixels in pictures])
    wanted = torch.tensor(labels)
    right = float((logits.argmax(1) == wanted).float().mean())
    return right, float(F.cross_entropy(logits, wanted))
