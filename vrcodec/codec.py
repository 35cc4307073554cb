"""The whole path in one place: picture -> model -> container, and back."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from vrcodec.bitstream import schema
from vrcodec.bitstream.assembly import Sides, assembled
from vrcodec.bitstream.auxiliary import alpha_blocks, metadata_of
from vrcodec.bitstream.container import ByChunk, Chunk, Header, parse_container
from vrcodec.bitstream.inspection import (
    MODE_NUMBERS,
    MODES,
    blocks_of,
    ladder_of,
    supported_setting,
)
from vrcodec.bitstream.lossless_picture import lossless_file, lossless_pixels
from vrcodec.bitstream.payload import (
    Stream,
    build_streams,
    check_tie_count,
    parse_stream,
    tie_count,
)
from vrcodec.bitstream.progressive import build_ladder
from vrcodec.bitstream.rate_setting import Setting
from vrcodec.bitstream.source import Source
from vrcodec.catalog import DEFAULT_MODEL, Entry, find_by_family, find_by_id
from vrcodec.errors import (
    CorruptError,
    DeviceError,
    FormatError,
    InputError,
    LimitError,
    UsageError,
)
from vrcodec.limits import DEFAULT_LIMITS, Limits
from vrcodec.lossless.blocks import viewed_blocks
from vrcodec.models.base import Latents, Pixels, RateState, VariableRateModel
from vrcodec.models.batches import analyse_together
from vrcodec.models.device import resolve_device
from vrcodec.models.weights import load_model
from vrcodec.picture.metadata import Metadata
from vrcodec.picture.picture import Picture
from vrcodec.picture.softening import tamed
from vrcodec.picture.transparency import without_hidden
from vrcodec.rate import code_from_bin_size
from vrcodec.refinement.effort import NO_EFFORT, Effort, Watch
from vrcodec.regions.grid import LatentGrid
from vrcodec.regions.region import WHOLE, View
from vrcodec.regions.tiling import DEFAULT_TILING, Tiling
from vrcodec.timing import stage

if TYPE_CHECKING:
    from vrcodec.refinement.refine import Refined
    from vrcodec.refinement.surrogate import Wanted


@dataclass(frozen=True)
class Engine:
    """Where and how networks run. ``precision``: of the float part; ``tiling``: how much at a time."""

    device: str = "auto"
    precision: str = "auto"
    tiling: Tiling = DEFAULT_TILING

    def load(self, entry: Entry, *, encoder: bool = True) -> VariableRateModel:
        """The model of ``entry``, ready on this engine's device; ``encoder``: for encoding, too."""
        device = resolve_device(self.device)
        return load_model(entry, device, self.precision, self.tiling, encoder=encoder)


class Encoder:
    """Encodes pictures with one model; keep it to encode many."""

    def __init__(self, family: str = DEFAULT_MODEL, engine: Engine | None = None) -> None:
        self._entry = find_by_family(family)
        self._engine = engine or Engine()
        self.model = self._engine.load(self._entry)
        self._sides = Sides()

    def analyse(self, picture: Picture) -> Latents:
        """The part of the work that does not depend on the rate."""
        with _memory_errors(self._engine.device):
            return self.model.analysis(tamed(picture.pixels))

    def analyse_together(self, pictures: Sequence[Picture]) -> list[Latents] | None:
        """What `encode` can take as latents of each, or None where the analysis depends on the setting."""
        if not self.model.one_analysis:
            return None
        with _memory_errors(self._engine.device):
            return analyse_together(
                self.model, [tamed(without_hidden(picture).pixels) for picture in pictures]
            )

    def encode(
        self,
        picture: Picture,
        setting: Setting | int,
        latents: Latents | None = None,
        *,
        effort: Effort = NO_EFFORT,
        watch: Watch | None = None,
        lossless_fallback: bool = False,
    ) -> bytes:
        """The bytes of a .vrc file at a setting, or a 16-bit rate code.

        A bilevel picture is stored without loss, whatever the setting (`lossless`). Colours that nobody sees
        are replaced first: ``latents`` are those of what `without_hidden` gives. ``lossless_fallback``: store
        the picture without loss where that is no larger.

        Raises LimitError, DeviceError, UsageError when the family lacks what the setting asks for, or the
        picture is too small for what ``effort`` aims at, and InputError when the model breaks down on it.
        """
        since = time.monotonic()
        setting = Setting(setting) if isinstance(setting, int) else setting
        if picture.mode == "1":
            return self.lossless(picture)
        exact = self.lossless(picture) if lossless_fallback else None
        picture = without_hidden(picture)
        try:
            latents = latents or self.analyse(picture)
            if effort.searches:
                streams = self.refine(picture, latents, setting, effort, watch, since=since).streams
            else:
                streams = self.code(picture, latents, setting)
        except InputError:
            if exact is None:
                raise
            return exact
        data = self.pack(picture, setting, streams)
        return exact if exact and len(exact) <= len(data) else data

    def lossless(self, picture: Picture) -> bytes:
        """The bytes of a .vrc file that has ``picture`` as it is, and needs no model. Raises LimitError."""
        with stage("lossless"):
            return lossless_file(picture, self._sides.of(picture))

    def side_bytes(self, picture: Picture) -> int:
        """How much of a file is alpha and metadata, at any rate."""
        return sum(len(chunk.payload) for chunk in self._sides.of(picture))

    def bin_setting(self, size: float) -> Setting:
        """A quantisation step of ``size``, 1/64 .. 64, at the rate whose step is nearest.

        Raises UsageError when the family has no such step, or when it is out of range.
        """
        bin_code = code_from_bin_size(size)
        return Setting(self.model.rate_code_of_bins(bin_code), bin_code)

    def code(self, picture: Picture, latents: Latents, setting: Setting) -> list[Stream]:
        """The latent streams of ``picture`` at a setting; raises as `encode` does."""
        rate = rate_state(self.model, setting, picture.width, picture.height)
        with _memory_errors(self._engine.device):
            return self.model.compress(latents, rate)

    def refine(
        self,
        picture: Picture,
        latents: Latents,
        setting: Setting,
        effort: Effort,
        watch: Watch | None = None,
        start: Wanted | None = None,
        since: float | None = None,
    ) -> Refined:
        """The streams that a search finds (`vrcodec.refinement`); raises as `encode` does.

        ``start``: what was found for the same picture at another setting. ``since``: when the time that
        ``effort`` may give began to run, on the monotonic clock; by default now.
        """
        from vrcodec.refinement.refine import Task, refine

        def size(streams: Sequence[Stream]) -> int:
            return len(self.pack(picture, setting, streams))

        rate = rate_state(self.model, setting, picture.width, picture.height)
        since = time.monotonic() if since is None else since
        task = Task(self.model, tamed(picture.pixels), latents, rate, size, since)
        with _memory_errors(self._engine.device), stage("search"):
            return refine(task, effort, watch or Watch(), start)

    def pack(self, picture: Picture, setting: Setting, streams: Sequence[Stream]) -> bytes:
        """The bytes of the file that holds ``streams``."""
        header = Header(
            self.model.method,
            self._entry.id,
            picture.width,
            picture.height,
            MODE_NUMBERS[picture.mode],
            setting.rate_code,
        )
        with stage("container"):
            sides = self._sides.of(picture)
            return assembled(header, [*sides, *setting.chunks(), *_latent_chunks(streams)])


def _latent_chunks(streams: Sequence[Stream]) -> list[Chunk]:
    if streams[0].levels > 1:
        return [Chunk(schema.CHUNK_LADDER, build_ladder(streams))]
    return [Chunk(schema.CHUNK_STREAM, payload) for payload in build_streams(streams)]


@dataclass(frozen=True)
class Coded:
    """What a file holds. ``levels``: how many the picture has; in a file that is not ``complete``, the streams
    may have fewer.

    ``alpha``: a payload for each block, or none. ``lossless``: the same, in place of ``streams``, where the
    picture is stored without a model.
    """

    header: Header
    setting: Setting
    streams: Sequence[Stream]
    levels: int
    complete: bool
    alpha: Sequence[bytes] = ()
    lossless: Sequence[bytes] = ()
    metadata: Metadata = field(default_factory=Metadata)

    @property
    def held(self) -> int:
        """How many levels there are."""
        return self.streams[0].levels if self.levels > 1 else 1


class Decoder:
    """Decodes files; keeps the models it has loaded."""

    def __init__(self, engine: Engine | None = None, limits: Limits = DEFAULT_LIMITS) -> None:
        self._engine = engine or Engine()
        self._limits = limits
        self._models: dict[bytes, VariableRateModel] = {}

    def decode(
        self,
        data: Source,
        levels: int | None = None,
        *,
        partial: bool = False,
        view: View = WHOLE,
    ) -> Picture:
        """What ``view`` shows of the picture of a .vrc file, whole or from its first ``levels`` levels.

        With ``partial`` the file may end early: then from the levels that are complete. Raises FormatError,
        CorruptError, LimitError, WeightsError or DeviceError, and UsageError when there are not so many levels,
        or for a view beyond the picture.
        """
        return self.picture(self.read(data, partial=partial), levels, view)

    def read(self, data: Source, *, partial: bool = False) -> Coded:
        """What a file holds, its structure checked. Raises as `decode` does.

        Blocks of a `FileSource` are not read before `picture` needs them.
        """
        with stage("container"):
            container = parse_container(data, self._limits, partial=partial)
            setting = supported_setting(container)
            ladder = ladder_of(container)
            streams: Sequence[Stream] = ladder.streams if ladder else []
            lossless: Sequence[bytes] = []
            if container.header.method == schema.METHOD_LOSSLESS:
                lossless = ByChunk(container.latents(), bytes)
            elif not ladder:
                if isinstance(data, bytes):
                    check_tie_count(sum(tie_count(c.payload) for c in container.latents()))
                streams = ByChunk(container.latents(), parse_stream)
            return Coded(
                container.header,
                setting,
                streams,
                ladder.levels if ladder else 1,
                container.complete,
                alpha_blocks(container, blocks_of(container.header)),
                lossless,
                metadata_of(container, self._limits),
            )

    def picture(self, coded: Coded, levels: int | None = None, view: View = WHOLE) -> Picture:
        """The picture of `read`, or what ``view`` shows of it. Raises as `decode` does."""
        header = coded.header
        if levels is not None and not 1 <= levels <= coded.held:
            raise UsageError(f"there is no level {levels}: the file has {coded.held}")
        with _memory_errors(self._engine.device):
            if coded.lossless:
                pixels = lossless_pixels(coded.lossless, header, view)
            else:
                pixels = self._synthesised(coded, levels, view)
            # Not before: of latents the first block tells whether the file is to be believed.
            alpha = None
            if coded.alpha:
                alpha = viewed_blocks(coded.alpha, header.width, header.height, 1, view)
        return Picture(pixels, view.mode(MODES[header.mode]), alpha, coded.metadata)

    def _synthesised(self, coded: Coded, levels: int | None, view: View) -> Pixels:
        """(H, W, 3) by the model that a file names."""
        header, setting = coded.header, coded.setting
        model = self._model(header)
        try:
            rate = rate_state(model, setting, header.width, header.height)
        except UsageError as error:
            raise CorruptError(f"damaged: {error}") from error
        streams = coded.streams
        if levels is not None and levels < coded.held:
            streams = [stream.cut(levels) for stream in streams]
        return model.decompress(streams, rate, header.width, header.height, view)

    def _model(self, header: Header) -> VariableRateModel:
        if header.weights_id not in self._models:
            with stage("load"):
                entry = find_by_id(header.weights_id)
                self._models[header.weights_id] = self._engine.load(entry, encoder=False)
        model = self._models[header.weights_id]
        if model.method != header.method:
            raise FormatError(
                f"names method {header.method}, but its weights are of method {model.method}"
            )
        return model


def rate_state(model: VariableRateModel, setting: Setting, width: int, height: int) -> RateState:
    """What a model derives from a setting, for a picture of ``width`` x ``height``.

    Raises UsageError when the family lacks what the setting asks for.
    """
    if setting.width is None:
        rate = model.rate_state(setting.rate_code)
    else:
        rate = model.width_state(setting.rate_code, setting.width)
    if setting.bin_code is not None:
        rate = model.with_bin_size(rate, setting.bin_code)
    if setting.qmap is not None and (setting.varies or not model.mapped):
        rate = model.with_map(rate, setting.qmap, LatentGrid.of_picture(width, height))
    return rate


@contextmanager
def _memory_errors(device: str) -> Iterator[None]:
    """Say in our own words that memory has run out."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise DeviceError(f"out of memory on {device}; try --device cpu") from error
    except MemoryError as error:
        raise LimitError("not enough memory for a picture of this size") from error
    except RuntimeError as error:
        if "allocate memory" not in str(error):
            raise
        raise LimitError("not enough memory for a picture of this size") from error
