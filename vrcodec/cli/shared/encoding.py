"""What `vrcodec encode` does with one input after the other."""

from __future__ import annotations

import contextlib
import io
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vrcodec.bitstream.inspection import inspect
from vrcodec.catalog import find_by_family
from vrcodec.cli.shared import options, output
from vrcodec.cli.shared.many import settings_key
from vrcodec.cli.shared.paths import about, display_name, read_picture_file
from vrcodec.errors import UsageError, VrcError, WeightsError
from vrcodec.limits import Limits
from vrcodec.picture.intake.policy import IccChoice, Intake
from vrcodec.refinement.effort import Effort, Tune, Watch
from vrcodec.regions.tiling import Tiling

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from vrcodec.bitstream.quality_map import QualityMap
    from vrcodec.codec import Decoder, Encoder
    from vrcodec.models.base import Latents
    from vrcodec.picture.picture import Picture
    from vrcodec.search.target import Target

REGION_LEVEL, BACKGROUND_LEVEL = 0.8, 0.3
# On a GPU.
_TOGETHER = 16


@dataclass(frozen=True)
class _Foreseen:
    """A picture that was read and analysed ahead, and what there was to say on reading it."""

    picture: Picture
    latents: Latents
    messages: Sequence[str]


@dataclass
class Job:
    """What all inputs of one command share; the model is loaded once, after the first picture."""

    model: str
    device: str
    precision: str
    tiling: Tiling
    threads: int | None
    intake: Intake
    target: Target | None
    strict: bool
    rate: float | None
    bin_size: float | None
    width: int | None
    shape: Callable[[int, int], QualityMap] | None
    effort: Effort
    watch: Watch
    lossless_fallback: bool
    verify: bool
    encoder: Encoder | None = None
    # Of `verify`: networks of its own, loaded anew.
    decoder: Decoder | None = None
    # By name, those that were analysed ahead of their turn.
    foreseen: dict[str, _Foreseen] = field(default_factory=dict)

    def encode(self, name: str) -> dict[str, Any]:
        """Encode one input: its bytes as ``data``, and what there is to say about it."""
        return self._encode(name, self._read(name, read_picture_file(name)))

    def encode_file(self, name: str, content: bytes) -> dict[str, Any]:
        """The same for an input that was read."""
        if found := self.foreseen.pop(name, None):
            output.repeat(found.messages)
            return self._encode(name, found.picture, found.latents)
        return self._encode(name, self._read(name, content))

    def foresee(self, coming: Sequence[tuple[str, bytes]]) -> None:
        """Analyse these inputs at once, where `encode_file` has a use for that. Raises DeviceError."""
        self.foreseen.clear()
        if self.target is not None:
            return
        read: list[tuple[str, Picture, list[str]]] = []
        for name, content in coming:
            # What cannot be read is said when its turn comes.
            with contextlib.suppress(VrcError), output.collected() as messages:
                picture = self._read(name, content)
                if picture.mode != "1":
                    read.append((name, picture, messages))
        latents = self._loaded().analyse_together([picture for _, picture, _ in read])
        for (name, picture, messages), own in zip(read, latents or (), strict=False):
            self.foreseen[name] = _Foreseen(picture, own, messages)

    def _loaded(self) -> Encoder:
        from vrcodec.codec import Encoder, Engine

        if self.encoder is None:
            options.set_threads(self.threads)
            self.encoder = Encoder(self.model, Engine(self.device, self.precision, self.tiling))
        return self.encoder

    def _encode(
        self, name: str, picture: Picture, latents: Latents | None = None
    ) -> dict[str, Any]:
        start = time.perf_counter()
        with about(name):
            data, achieved = self._encode_picture(picture, name, latents)
            if self.verify:
                self._verify(data, picture)
        info = inspect(data, self.intake.limits)
        return {
            "data": data,
            "input": display_name(name),
            "width": picture.width,
            "height": picture.height,
            "mode": picture.mode,
            "model": info.model,
            "lossless": info.lossless,
            "rate": info.rate,
            "bytes": info.bytes,
            "bpp": info.bpp,
            **achieved,
            **self._search_words(),
            "verified": self.verify,
            "seconds": round(time.perf_counter() - start, 4),
        }

    def _read(self, name: str, content: bytes) -> Picture:
        from vrcodec.picture.reading import read_picture

        return read_picture(io.BytesIO(content), display_name(name), intake=self.intake)

    def _verify(self, data: bytes, picture: Picture) -> None:
        from vrcodec.codec import Decoder, Engine
        from vrcodec.search.verification import check_made

        engine = Engine(self.device, self.precision, self.tiling)
        self.decoder = self.decoder or Decoder(engine, self.intake.limits)
        check_made(data, picture, self.decoder)

    def _search_words(self) -> dict[str, Any]:
        """What --json says of the search."""
        if not self.effort.searches:
            return {}
        own = self.effort
        spent = {"effort": own.level} if own.seconds is None else {"time_budget": own.seconds}
        return {**spent, "tune": own.tune}

    def _encode_picture(
        self, picture: Picture, name: str, latents: Latents | None
    ) -> tuple[bytes, dict[str, Any]]:
        """The file, and what became of the target."""
        from vrcodec.bitstream.rate_setting import Setting

        encoder = self._loaded()
        search: dict[str, Any] = {
            "effort": self.effort,
            "watch": self.watch,
            "lossless_fallback": self.lossless_fallback,
        }
        if self.bin_size is not None:
            setting = encoder.bin_setting(self.bin_size)
            data = encoder.encode(picture, setting, latents, **search)
            return data, {"bin_size": self.bin_size}
        qmap = self.shape(picture.width, picture.height) if self.shape else None
        if self.target is None:
            setting = Setting.at(self.rate, qmap, self.width)
            return encoder.encode(picture, setting, latents, **search), {}
        from vrcodec.codec import Decoder, Engine
        from vrcodec.search.rate_control import encode_to_target, nearest_words

        decoder = Decoder(Engine(self.device, self.precision, self.tiling), self.intake.limits)
        target = self.target
        found = encode_to_target(
            encoder,
            decoder,
            picture,
            target,
            qmap=qmap,
            width=self.width,
            strict=self.strict,
            **search,
        )
        if not found.met:
            output.warn(f"{display_name(name)}: {nearest_words(found, target)}")
        achieved: dict[str, Any] = {"target_met": found.met}
        if target.kind in ("psnr", "ssim"):
            achieved[target.kind] = found.achieved
        return found.data, achieved


@dataclass
class EncodeWork:
    """A job for worker processes (`vrcodec.batch.items.Work`)."""

    job: Job
    weights: str
    settings: str
    # As the device has it, where nobody says how many.
    together: int | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> EncodeWork:
        """From the arguments of `make_job`. Raises what that raises, and WeightsError."""
        # One thread by default: with another number, a file may differ in a symbol.
        job = make_job(**{**given, "threads": given["threads"] or 1})
        if job.watch.keep_partial:
            raise UsageError("--keep-partial is for one picture at a time")
        return cls(job, find_by_family(job.model).id.hex(), settings_key(given))

    @property
    def ahead(self) -> int:
        """A GPU takes several pictures of one size at once."""
        if self.together is None:
            from vrcodec.models.device import resolve_device

            self.together = 1
            # What is wrong with a device is said of the first picture.
            with contextlib.suppress(VrcError):
                on_cpu = resolve_device(self.job.device).type == "cpu"
                self.together = 1 if on_cpu else _TOGETHER
        return self.together

    def foresee(self, coming: Sequence[tuple[str, bytes]]) -> None:
        """Analyse these inputs at once."""
        self._check_weights()
        self.job.foresee(coming)

    def code(self, name: str, data: bytes) -> dict[str, Any]:
        """Encode one input that was read."""
        self._check_weights()
        with output.collected() as messages:
            return {**self.job.encode_file(name, data), "messages": messages}

    def _check_weights(self) -> None:
        if self.job.encoder is None and find_by_family(self.job.model).id.hex() != self.weights:
            raise WeightsError(
                f"this machine has other weights for {self.job.model} than {self.weights}"
            )


def make_job(
    *,
    rate: float | None,
    bpp: float | None,
    size: float | None,
    psnr: float | None,
    ssim: float | None,
    bin_size: float | None,
    width: int | None,
    map_file: Path | None,
    regions: tuple[str, ...],
    roi_background: float | None,
    strict: bool,
    level: int | None,
    seconds: float | None,
    tune: Tune,
    keep_partial: bool,
    model: str,
    strip: frozenset[str],
    icc: IccChoice,
    reduce_depth: bool,
    frame: int | None,
    lossless_fallback: bool,
    verify: bool,
    device: str,
    threads: int | None,
    precision: str,
    tiling: Tiling,
    limits: Limits,
) -> Job:
    """The job that options of the command line ask for. Raises UsageError, or InputError for a map."""
    intake = Intake(strip, icc, reduce_depth, frame, limits)
    target = _target(rate, bin_size, bpp=bpp, size=size, psnr=psnr, ssim=ssim)
    shape = _shape(map_file, regions, roi_background, limits)
    if sum(own is not None for own in (shape, bin_size, width)) > 1:
        raise UsageError(
            "--bin-size is for qvrf, quality maps are for qmap, and --width is for slim"
        )
    return Job(
        model,
        device,
        precision,
        tiling,
        threads,
        intake,
        target,
        strict,
        rate,
        bin_size,
        width,
        shape,
        _effort(level, seconds, tune, keep_partial),
        Watch(output.part_done, keep_partial),
        lossless_fallback,
        verify,
    )


def _effort(level: int | None, seconds: float | None, tune: Tune, keep_partial: bool) -> Effort:
    if level is not None and seconds is not None:
        raise UsageError("give --effort or --time-budget, not both")
    effort = Effort(level or 0, seconds, tune)
    if not effort.searches and (keep_partial or tune != "psnr"):
        raise UsageError("--tune and --keep-partial go with --effort above 0, or --time-budget")
    return effort


def _target(rate: float | None, bin_size: float | None, **given: float | None) -> Target | None:
    chosen = [(kind, value) for kind, value in given.items() if value is not None]
    if len(chosen) + (rate is not None) + (bin_size is not None) > 1:
        raise UsageError(f"give one of --rate, --{', --'.join(given)}, --bin-size")
    if not chosen:
        return None
    from vrcodec.search.target import Target

    kind, value = chosen[0]
    return Target(kind, value)  # type: ignore[arg-type]


def _shape(
    map_file: Path | None, regions: tuple[str, ...], background: float | None, limits: Limits
) -> Callable[[int, int], QualityMap] | None:
    """What makes a picture's quality map from its size, if one was asked for."""
    if background is not None and not regions:
        raise UsageError("--roi-background goes with --roi")
    if not map_file and not regions:
        return None
    if map_file and regions:
        raise UsageError("give a map or regions, not both")
    from vrcodec.maps.levels import Region, on_grid, read_levels, regions_map

    if map_file:
        return partial(on_grid, read_levels(map_file, limits))
    parsed = [Region.parse(text, REGION_LEVEL) for text in regions]
    return partial(regions_map, parsed, BACKGROUND_LEVEL if background is None else background)
