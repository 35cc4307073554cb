"""NETWORKS.md: weights files, layers, and the networks that several methods have."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from conformance.reference.container import RefusedError, require
from conformance.reference.entropy import Reals, Tables

SIZES = ["channels", "latent", "hyper", "blocks", "prior", "groups", "context", "widths", "reach"]
WEIGHTS = Path(__file__).parents[2] / "tests" / "golden"


class Weights:
    """A weights file: real tensors in float64, others in int64."""

    def __init__(self, data: bytes) -> None:
        end = 8 + int.from_bytes(data[:8], "little")
        header = json.loads(data[8:end])
        self.description = json.loads(header.pop("__metadata__")["vrcodec"])
        require(set(self.description["size"]) <= set(SIZES), "weights of a later version")
        grouped = "digests" in self.description
        self.id = hashlib.sha256(data[:end] if grouped else data).digest()[:8]
        self._data, self._entries, self._end = data, header, end

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        entry = self._entries[name]
        types = {"F16": "<f2", "F32": "<f4", "I32": "<i4", "I16": "<i2", "U8": "u1"}
        first, last = entry["data_offsets"]
        values = np.frombuffer(
            self._data[self._end + first : self._end + last], types[entry["dtype"]]
        )
        real = entry["dtype"] in ("F16", "F32")
        return values.astype(np.float64 if real else np.int64).reshape(entry["shape"])

    def names(self) -> list[str]:
        """The names of all tensors."""
        return list(self._entries)

    def tables(self, name: str) -> Tables:
        """A table set."""
        return Tables(self[f"{name}.frequencies"], self[f"{name}.sizes"])

    def check_group(self, group: str) -> None:
        """Compare a group of tensors with its digest."""
        digest = hashlib.sha256()
        for name in sorted(self._entries):
            if name.split(".")[:2] == group.split("."):
                first, last = self._entries[name]["data_offsets"]
                digest.update(self._data[self._end + first : self._end + last])
        require(digest.hexdigest() == self.description["digests"].get(group), "damaged weights")


def find_weights(identity: bytes, folder: Path = WEIGHTS) -> Weights:
    """The weights with this id in a folder."""
    for path in sorted(folder.glob("*.safetensors")):
        if not path.name.endswith(".encoder.safetensors"):
            weights = Weights(path.read_bytes())
            if weights.id == identity:
                return weights
    raise RefusedError("its weights are not here")


Tensors = Mapping[str, npt.NDArray[Any]] | Weights


def pointwise(w: Tensors, name: str, x: Reals) -> Reals:
    """A matrix times the channels."""
    y: Reals = np.tensordot(w[f"{name}.weight"], x, 1) + w[f"{name}.bias"][:, None, None]
    return y


def neighbourhoods(x: npt.NDArray[Any]) -> Iterator[tuple[int, int, npt.NDArray[Any]]]:
    """x shifted to each place of a 3x3 kernel, with zeros from outside."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    for i, j in np.ndindex(3, 3):
        yield i, j, padded[:, i : i + x.shape[1], j : j + x.shape[2]]


def convolution(w: Tensors, name: str, x: Reals) -> Reals:
    """3x3."""
    weight, bias = w[f"{name}.weight"], w[f"{name}.bias"][:, None, None]
    return sum((np.tensordot(weight[:, :, i, j], n, 1) for i, j, n in neighbourhoods(x)), bias)


def depthwise(w: Tensors, name: str, x: Reals) -> Reals:
    """3x3, each channel by itself, to one or two channels."""
    weight, bias = w[f"{name}.weight"][:, 0], w[f"{name}.bias"][:, None, None]
    x = np.repeat(x, len(weight) // len(x), axis=0)
    return sum((weight[:, i, j, None, None] * n for i, j, n in neighbourhoods(x)), bias)


def leaky(x: Reals) -> Reals:
    """Leaky ReLU."""
    return np.maximum(x, 0.1 * x)


def strided_windows(x: Reals) -> Iterator[tuple[int, int, Reals]]:
    """Of a 5x5 deconvolution: x for each place of the kernel, spread to every other row and column."""
    _, h, w = x.shape
    for i, j in np.ndindex(5, 5):
        spread = np.zeros((len(x), 2 * h + 4, 2 * w + 4))
        spread[:, i : i + 2 * h : 2, j : j + 2 * w : 2] = x
        yield i, j, spread[:, 2 : 2 + 2 * h, 2 : 2 + 2 * w]


def deconvolution(w: Tensors, name: str, x: Reals) -> Reals:
    """5x5, to twice the rows and columns."""
    weight, bias = w[f"{name}.weight"], w[f"{name}.bias"][:, None, None]
    return sum((np.tensordot(weight[:, :, i, j].T, n, 1) for i, j, n in strided_windows(x)), bias)


def inverse_gdn(w: Tensors, name: str, x: Reals) -> Reals:
    """Each channel times the root of a sum of energies."""
    weight, bias = w[f"{name}.weight"], w[f"{name}.bias"][:, None, None]
    return x * np.sqrt(bias**2 + 1e-6 + np.tensordot(weight**2, x**2, 1))


def gdn_synthesis(w: Tensors, x: Reals) -> Reals:
    """`synthesis` of method 6."""
    for number in (0, 2, 4):
        x = deconvolution(w, f"synthesis_net.{number}", x)
        x = inverse_gdn(w, f"synthesis_net.{number + 1}", x)
    return 255 * (deconvolution(w, "synthesis_net.6", x) + 0.5)


def residual_block(w: Tensors, name: str, x: Reals) -> Reals:
    """A residual block."""
    spread = leaky(pointwise(w, f"{name}.spread", x))
    x = x + pointwise(w, f"{name}.mix", depthwise(w, f"{name}.depthwise", spread))
    a, b = np.split(pointwise(w, f"{name}.gate", x), 2)
    return x + pointwise(w, f"{name}.merge", a / (1 + np.exp(-a)) * b)


def shuffle(x: Reals, r: int) -> Reals:
    """Channels (c r + i) r + j to the pixels i, j of a square."""
    c, h, w = x.shape
    cells = x.reshape(c // r**2, r, r, h, w).transpose(0, 3, 1, 4, 2)
    return cells.reshape(c // r**2, h * r, w * r)


def modulate(w: Tensors, name: str, x: Reals, conditions: Reals) -> Reals:
    """x (1 + gamma) + beta."""
    gamma_beta = pointwise(w, f"{name}.gamma_beta", conditions)
    if conditions.shape[1:] not in ((1, 1), x.shape[1:]):
        gamma_beta = gamma_beta.repeat(2, axis=1).repeat(2, axis=2)
    gamma, beta = np.split(gamma_beta, 2)
    return x * (1 + gamma) + beta


def condition_net(w: Tensors, x: Reals) -> Reals:
    """Conditions of a level or of levels, (1, h, w)."""
    return leaky(pointwise(w, "condition_net.2", leaky(pointwise(w, "condition_net.0", x))))


def synthesis(w: Tensors, blocks: int, x: Reals, conditions: Reals | None = None) -> Reals:
    """y_hat to samples of the picture, without rounding."""
    layers: list[Callable[[str, Reals], Reals]] = [
        lambda name, x: pointwise(w, name, x),
        lambda name, x: residual_block(w, name, x),
        lambda name, x: pointwise(w, name, x),
        lambda name, x: shuffle(x, 2),
        *[lambda name, x: residual_block(w, name, x)] * blocks,
        lambda name, x: pointwise(w, name, x),
        lambda name, x: shuffle(x, 8),
    ]
    for number, layer in enumerate(layers):
        x = layer(f"synthesis_net.{number}", x)
        if conditions is not None and number in (0, 3, 3 + blocks):
            x = modulate(w, f"synthesis_net.modulations.{number}", x, conditions)
    return 255 * (x + 0.5)


def interpolate(knots: Reals, rate: Reals | float) -> Reals:
    """Knots (8, C) at rates (h, w) or one rate: (C, h, w) or (C, 1, 1)."""
    position = 7 * np.atleast_2d(rate)
    left = np.floor(position).clip(0, 6).astype(int)
    weight = (position - left)[..., None]
    between: Reals = knots[left] * (1 - weight) + knots[left + 1] * weight
    return between.transpose(2, 0, 1)
