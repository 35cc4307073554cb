"""What is measured: our families and their rivals behind one interface."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Protocol, TypeVar

import torch

from vrcodec.catalog import find_by_family, installed
from vrcodec.codec import Decoder, Encoder, Engine
from vrcodec.models.device import resolve_device
from vrcodec.picture.picture import Picture
from vrcodec.rate import code_from_rate
from vrcodec.refinement.effort import NO_EFFORT, STEPS, Effort, Tune
from vrcodec.search.rate_control import encode_to_target
from vrcodec.search.target import Target

DEFAULT_ENGINE = Engine()

# Titles of our curves begin like this.
OWN_PREFIX = "vrcodec "

Value = TypeVar("Value")


class Coder(Protocol):
    """Encodes and decodes; the two sides share nothing but the file."""

    def encode(self, picture: Picture, setting: float) -> bytes: ...

    def decode(self, data: bytes) -> Picture: ...


class Codec(Protocol):
    """A codec and the settings to measure it at. Can be pickled.

    ``settings``: those that are fixed, in words. ``identity`` changes when results would.
    """

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str: ...

    @property
    def settings(self) -> str: ...

    @property
    def points(self) -> tuple[float, ...]: ...

    @property
    def suffix(self) -> str: ...

    @property
    def identity(self) -> str: ...

    @property
    def effort(self) -> int | None:
        """Of the encoder; None where nobody can ask for one, or has."""
        ...

    def coder(self) -> Coder:
        """A coder with a decoder that has not seen anything."""
        ...


@dataclass(frozen=True)
class Family:
    """One of our families at an effort. ``points`` are rates, or bits per pixel to aim at (``by`` bpp)."""

    family: str
    points: tuple[float, ...]
    by: Literal["rate", "bpp"] = "rate"
    engine: Engine = DEFAULT_ENGINE
    suffix: str = ".vrc"
    effort: int = 0
    tune: Tune = "psnr"

    @property
    def name(self) -> str:
        """The family, and how it is encoded where that is not the plain way."""
        effort = f"-effort{self.effort}" if self.effort else ""
        return self.family + effort + ("" if self.tune == "psnr" else f"-{self.tune}")

    @property
    def title(self) -> str:
        """The same in words, marked as ours."""
        effort = f", effort {self.effort}" if self.effort else ""
        tune = "" if self.tune == "psnr" else ", for MS-SSIM"
        return OWN_PREFIX + self.family + effort + tune

    @property
    def weights(self) -> str:
        """Id of the weights, in hexadecimal."""
        return find_by_family(self.family).id.hex()

    @property
    def settings(self) -> str:
        """The weights, and what a point means."""
        return f"{'rate' if self.by == 'rate' else 'target bits per pixel'}; weights {self.weights}"

    @property
    def identity(self) -> str:
        """Weights, engine and search."""
        engine = self.engine
        search = f", {STEPS[self.effort]} steps" if self.effort else ""
        place = f"{engine.device} {engine.precision}"
        return f"{self.name} {self.weights} by {self.by} on {place}{search}"

    def coder(self) -> FamilyCoder:
        """One encoder a process, and a new decoder."""
        encoder = _encoder(self.family, self.weights, self.engine)
        effort = Effort(self.effort, tune=self.tune)
        return FamilyCoder(encoder, Decoder(self.engine), self.by, effort)


@lru_cache(maxsize=8)
def _encoder(family: str, weights: str, engine: Engine) -> Encoder:
    """``weights``: what is installed may change while this process lives."""
    return Encoder(family, engine)


@dataclass(frozen=True)
class FamilyCoder:
    """Encoder and decoder of a `Family`, each with its own copy of the model."""

    encoder: Encoder
    decoder: Decoder
    by: Literal["rate", "bpp"]
    effort: Effort = NO_EFFORT

    def encode(self, picture: Picture, setting: float) -> bytes:
        """A file at rate ``setting``, or of at most so many bits a pixel (raises TargetError)."""
        if self.by == "rate":
            return self.encoder.encode(picture, code_from_rate(setting), effort=self.effort)
        target = Target("bpp", setting)
        found = encode_to_target(
            self.encoder, self.decoder, picture, target, strict=True, effort=self.effort
        )
        return found.data

    def decode(self, data: bytes) -> Picture:
        """The picture of a file."""
        return self.decoder.decode(data)


def choose_families(
    names: Sequence[str],
    points: tuple[float, ...],
    by: Literal["rate", "bpp"],
    engine: Engine,
    efforts: Sequence[int] = (0,),
    tune: Tune = "psnr",
) -> list[Family]:
    """The families called ``names``, each at ``efforts``; ``all`` is every one that is installed.

    ``tune``: what efforts above 0 aim at. Raises WeightsError.
    """
    wanted: list[str] = []
    for name in names:
        wanted += [entry.family for entry in installed()] if name == "all" else [name]
    for name in wanted:
        find_by_family(name)
    return [
        Family(name, points, by, engine, effort=effort, tune=tune if effort else "psnr")
        for name in dict.fromkeys(wanted)
        for effort in efforts
    ]


def synchroniser(engine: Engine) -> Callable[[], None]:
    """What to call before looking at the clock: work on a GPU goes on after its call returns."""
    if resolve_device(engine.device).type == "cuda":
        return torch.cuda.synchronize
    return lambda: None


def thinned(points: Sequence[Value], count: int) -> tuple[Value, ...]:
    """``count`` of ``points``, evenly spread, the first and last among them."""
    if len(points) <= count:
        return tuple(points)
    last = len(points) - 1
    return tuple(points[round(i * last / (count - 1))] for i in range(count))
