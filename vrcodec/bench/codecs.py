"""The interface of a measured codec, and our families behind it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Protocol, TypeVar, cast

from vrcodec.bitstream.rate_setting import RateSetting
from vrcodec.catalog import WeightsEntry, find_by_family, installed_weights
from vrcodec.codec import Decoder, Encoder
from vrcodec.engine import DEFAULT_ENGINE, Engine
from vrcodec.errors import UsageError
from vrcodec.models.backends import on_gpu
from vrcodec.picture.picture import Picture
from vrcodec.rate import code_from_rate
from vrcodec.refinement.effort import NO_EFFORT, STEPS, Effort, Tune
from vrcodec.search.lossless_choice import encode_smallest
from vrcodec.search.rate_control import encode_to_target
from vrcodec.search.target import Target

# Titles of our curves begin like this.
OUR_PREFIX = "vrcodec "

Value = TypeVar("Value")


class Coder(Protocol):
    """Encoder and decoder of one codec; they share nothing but the file."""

    def encode(self, picture: Picture, setting: float) -> bytes: ...

    def decode(self, data: bytes) -> Picture: ...


class Codec(Protocol):
    """A codec and the points to measure it at. Can be pickled.

    ``settings``: its fixed settings in words. ``scale``: what its points are, such as a quality.
    ``identity``: key in the cache; changes when results would.
    """

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str: ...

    @property
    def settings(self) -> str: ...

    @property
    def scale(self) -> str: ...

    @property
    def points(self) -> tuple[float, ...]: ...

    @property
    def suffix(self) -> str: ...

    @property
    def identity(self) -> str: ...

    @property
    def effort(self) -> int | None:
        """Of the encoder, 0 to 9; None without a scale of efforts, or where none was asked for."""
        ...

    def coder(self) -> Coder:
        """A coder with a fresh decoder."""
        ...


_TUNE_TITLES = {"psnr": "PSNR", "msssim": "MS-SSIM", "ssimulacra2": "SSIMULACRA 2"}


@dataclass(frozen=True)
class Family:
    """One of our families at an effort. ``points`` are in ``unit``: rates, or target bits per pixel.

    ``tune``: what it aims at; None is what its weights do by default.
    """

    family: str
    points: tuple[float, ...]
    unit: Literal["rate", "bpp"] = "rate"
    engine: Engine = DEFAULT_ENGINE
    suffix: str = ".vrc"
    effort: int = 0
    tune: Tune | None = None

    @property
    def entry(self) -> WeightsEntry:
        """The weights that it encodes with. Raises WeightsError."""
        return find_by_family(self.family, self.tune)

    @property
    def aim(self) -> Tune:
        """The metric that weights or search are tuned for."""
        return self.tune or cast(Tune, self.entry.tune)

    @property
    def name(self) -> str:
        """The family, and effort and tune where they are not the default."""
        effort = f"-effort{self.effort}" if self.effort else ""
        tune = "" if self.aim == find_by_family(self.family).tune else f"-{self.aim}"
        return self.family + effort + tune

    @property
    def title(self) -> str:
        """The same for tables and legends, marked as ours, and with what it is tuned for in any case."""
        effort = f", effort {self.effort}" if self.effort else ""
        return f"{OUR_PREFIX}{self.family}{effort}, for {_TUNE_TITLES[self.aim]}"

    @property
    def weights(self) -> str:
        """Id of the weights, in hexadecimal."""
        return self.entry.id.hex()

    @property
    def all_weights(self) -> str:
        """`weights`, and the id of what only the encoder has, where the family has such weights."""
        encoder_id = self.entry.encoder_id
        return f"{self.weights} + {encoder_id.hex()}" if encoder_id else self.weights

    @property
    def scale(self) -> str:
        """What a point means."""
        return "rate" if self.unit == "rate" else "target bits per pixel"

    @property
    def settings(self) -> str:
        """The weights, and what a point means."""
        return f"{self.scale}; weights {self.all_weights}"

    @property
    def identity(self) -> str:
        """Weights, engine and search."""
        engine = self.engine
        search = f", {STEPS[self.effort]} steps" if self.effort else ""
        hardware = f"{engine.device} {engine.precision}"
        if engine.library != "auto":
            hardware += f" {engine.library}"
        return f"{self.name} {self.all_weights} by {self.unit} on {hardware}{search}"

    def coder(self) -> FamilyCoder:
        """The encoder that this process shares, and a new decoder."""
        encoder = _shared_encoder(self.family, self.tune, self.all_weights, self.engine)
        effort = Effort(self.effort, tune=self.aim)
        return FamilyCoder(encoder, Decoder(self.engine), self.unit, effort)


@lru_cache(maxsize=8)
def _shared_encoder(family: str, tune: Tune | None, weights: str, engine: Engine) -> Encoder:
    """``weights`` is part of the key: installed weights may change while this process lives."""
    return Encoder(family, engine, tune)


@dataclass(frozen=True)
class FamilyCoder:
    """Encoder and decoder of a `Family`, each with its own copy of the model."""

    encoder: Encoder
    decoder: Decoder
    unit: Literal["rate", "bpp"]
    effort: Effort = NO_EFFORT

    def encode(self, picture: Picture, setting: float) -> bytes:
        """A file at rate ``setting``, or of at most ``setting`` bits a pixel (raises TargetError)."""
        if self.unit == "rate":
            rate = RateSetting(code_from_rate(setting))
            return encode_smallest(self.encoder, picture, rate, effort=self.effort)
        target = Target("bpp", setting)
        result = encode_to_target(
            self.encoder, self.decoder, picture, target, strict=True, effort=self.effort
        )
        return result.data

    def decode(self, data: bytes) -> Picture:
        """The picture of a file."""
        return self.decoder.decode(data)


def choose_families(
    names: Sequence[str],
    points: tuple[float, ...],
    unit: Literal["rate", "bpp"],
    engine: Engine,
    efforts: Sequence[int] = (0,),
    tunes: Sequence[Tune | None] = (None,),
) -> list[Family]:
    """The families called ``names``, each at ``efforts`` and ``tunes``; ``all`` is all that are installed.

    Of tunes, None is what each family aims at by default. One that neither weights nor a search aim at makes
    no curve. Raises WeightsError, and UsageError where that goes for all.
    """
    chosen: list[str] = []
    for name in names:
        chosen += [entry.model for entry in installed_weights()] if name == "all" else [name]
    families = [
        Family(name, points, unit, engine, effort=effort, tune=tune)
        for name in dict.fromkeys(chosen)
        for effort in efforts
        for tune in dict.fromkeys(tunes)
        if effort or tune is None or find_by_family(name, tune).tune == tune
    ]
    for tune in tunes:
        if not any(family.tune == tune for family in families):
            raise UsageError(
                f"no weights are tuned for {tune}; a search can aim at it: give --efforts"
            )
    return families


def synchroniser(engine: Engine) -> Callable[[], None]:
    """The call that waits for the device, before each look at the clock: GPU work is asynchronous."""
    if on_gpu(engine):
        import torch

        return torch.cuda.synchronize
    return lambda: None


def subsample(points: Sequence[Value], count: int) -> tuple[Value, ...]:
    """``count`` of ``points``, evenly spread, the first and last among them."""
    if len(points) <= count:
        return tuple(points)
    last = len(points) - 1
    return tuple(points[round(i * last / (count - 1))] for i in range(count))
