"""A classification task that needs detail in one region, to measure quality maps made for a task.

Somewhere in a photograph is a patch of fine stripes; a small network, trained here on uncompressed pictures,
classifies their direction. At low rates the stripes fade. A map made for the network's loss keeps them, in a
file of the same size.
"""

from __future__ import annotations

import numpy as np
import skimage.data
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.task_comparison import Classifier, Example, Pixels, as_tensor

DIRECTIONS = 4
_SIDE, _PATCH, _PERIOD, _AMPLITUDE = 192, 36, 5.0, 8.0
_BATCH, _LEARNING_RATE = 32, 3e-3
# Stages of training, small pictures first: (side of the pictures, most steps, accuracy that ends the stage).
_STAGES = ((64, 600, 0.99), (_SIDE, 100, 0.98))
_PHOTOGRAPHS = ("astronaut", "coffee", "chelsea", "rocket")


def examples(count: int, seed: int, side: int = _SIDE) -> list[Example]:
    """Square parts of photographs, each with a patch of stripes somewhere; labels are directions, 0 .. 3."""
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


class _HighPass(nn.Module):
    """A picture without its blurred version: the stripes, and edges."""

    def forward(self, x: Tensor) -> Tensor:
        return x - F.avg_pool2d(x, 5, stride=1, padding=2, count_include_pad=False)


def train_classifier(seed: int = 0) -> Classifier:
    """Train a small network, (B, 3, H, W) in [0, 1] -> (B, 4) logits; takes less than a minute."""
    torch.manual_seed(seed)
    network = nn.Sequential(
        _HighPass(),
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
    for side, steps, accuracy in _STAGES:
        _train(network, optimizer, side, steps, accuracy, seed)
    network.eval().requires_grad_(False)
    return lambda x, example: network(x)


def _train(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    side: int,
    steps: int,
    accuracy: float,
    seed: int,
) -> None:
    running_accuracy = 0.0
    for step in range(steps):
        drawn = examples(_BATCH, 1000 * side + step + seed, side)
        x = torch.cat([as_tensor(e.pixels) for e in drawn])
        labels = torch.tensor([e.label for e in drawn])
        logits = network(x)
        optimizer.zero_grad()
        F.cross_entropy(logits, labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        running_accuracy = 0.95 * running_accuracy + 0.05 * float(
            (logits.argmax(1) == labels).float().mean()
        )
        if running_accuracy > accuracy:
            return
