"""Encoder and decoder: the path of a picture to the bytes of a .vrc file, and back.

Encoding, `Encoder.encode`:

1. colours of transparent pixels are replaced (`picture.transparency`);
2. `Encoder.analyse`: hard patterns are softened (`picture.softening`), cells that are stored without loss
   replaced, too; the analysis gives latents (`models`);
3. `Encoder.compress`: latents are scaled to the rate, quantised and entropy coded to streams (`models.coding`);
   or `Encoder.refine`: the same after a search for cheaper latents (`refinement`);
4. `Encoder.assemble`: header, alpha, metadata, lossless cells, rate setting and streams make the file
   (`bitstream`).

A bilevel picture takes none of these steps, but `Encoder.encode_lossless`. Whether another one does, or some of
its cells, `vrcodec.search.lossless_choice` decides.

Decoding, `Decoder.decode`:

1. `Decoder.read`: the container is parsed and checked (`bitstream`);
2. `Decoder.reconstruct`: streams are entropy decoded to y_hat, the synthesis gives pixels (`models`), or they
   are read as they were stored (`lossless`); lossless cells, alpha and metadata are added.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from vrcodec.bitstream import schema
from vrcodec.bitstream.assembly import (
    AuxiliaryChunkCache,
    assemble_file,
    decode_lossless,
    encode_lossless,
)
from vrcodec.bitstream.auxiliary import alpha_blocks, cell_blocks, parse_metadata
from vrcodec.bitstream.container import Chunk, Header, LazyPayloads, parse_container
from vrcodec.bitstream.inspection import (
    MODE_NUMBERS,
    MODES,
    channel_count,
    parse_progressive_chunk,
    parse_supported_setting,
)
from vrcodec.bitstream.latent_stream import (
    Stream,
    build_streams,
    check_picture_ties,
    parse_stream,
    read_tie_count,
)
from vrcodec.bitstream.progressive import build_progressive
from vrcodec.bitstream.rate_setting import RateSetting
from vrcodec.bitstream.source import Source
from vrcodec.catalog import DEFAULT_MODEL, WeightsEntry, find_by_family, find_by_id
from vrcodec.engine import DEFAULT_ENGINE, Engine
from vrcodec.errors import (
    CorruptError,
    DeviceError,
    FormatError,
    LimitError,
    UsageError,
    WeightsError,
)
from vrcodec.extras import require
from vrcodec.limits import DEFAULT_LIMITS, Limits
from vrcodec.lossless.blocks import unpack_region
from vrcodec.lossless.cells import LosslessCells
from vrcodec.metrics import psnr
from vrcodec.models.backends import choose_backend
from vrcodec.models.base import Latents, Pixels, RateParameters, VariableRateModel
from vrcodec.models.batched_analysis import analyse_in_batches
from vrcodec.models.coding.tiled_transforms import Overlay
from vrcodec.models.weights import load_model
from vrcodec.own_state import in_own_state
from vrcodec.picture.metadata import Metadata
from vrcodec.picture.picture import Picture
from vrcodec.picture.softening import soften_patterns
from vrcodec.picture.transparency import fill_lossless_cells, fill_transparent
from vrcodec.rate import code_from_bin_size
from vrcodec.refinement.effort import NO_EFFORT, Effort, SearchMonitor
from vrcodec.regions.grid import LatentGrid
from vrcodec.regions.region import WHOLE, Rectangle, Region
from vrcodec.timing import stage

if TYPE_CHECKING:
    from vrcodec.refinement.refine import Refined
    from vrcodec.refinement.surrogate import ContinuousLatents


# Pixels a side of what tells whether a level shows something: it takes no longer for a large picture.
_JUDGED_SIDE = 1024
# In dB: three quarters of the squared error. Of photographs, a grey blur has 0.87 to 1.4 times that of a single
# colour; the first level at 1/16 has 0.06 to 0.57.
_LEAST_GAIN = 1.25


def _load(
    engine: Engine, entry: WeightsEntry, pixels: int | None, *, encoder: bool
) -> VariableRateModel:
    """The model of ``entry`` for ``engine``; ``encoder``: with the networks for encoding, too."""
    backend = choose_backend(engine, pixels)
    return load_model(entry, backend, engine.tiling, encoder=encoder)


class Encoder:
    """Encodes pictures with one model, which is loaded once. The module's docstring names the steps."""

    @in_own_state
    def __init__(
        self,
        family: str = DEFAULT_MODEL,
        engine: Engine | None = None,
        tune: str | None = None,
        pixels: int | None = None,
    ) -> None:
        """With the weights of ``family`` that are tuned for ``tune``, as `find_by_family` finds them.

        ``pixels``: of the picture, where it is known. Raises WeightsError, and as `choose_backend` does.
        """
        self._entry = find_by_family(family, tune)
        self._engine = engine or DEFAULT_ENGINE
        self.model = _load(self._engine, self._entry, pixels, encoder=True)
        self._auxiliary = AuxiliaryChunkCache()

    @in_own_state
    def analyse(self, picture: Picture) -> Latents:
        """The latents of a picture, softened and transformed; they do not depend on the rate."""
        with _memory_errors(self._engine.device):
            return self.model.analyse(_pixels_for_model(picture))

    @in_own_state
    def analyse_in_batches(self, pictures: Sequence[Picture]) -> list[Latents] | None:
        """The latents of each, for `encode`, or None where the analysis depends on the setting."""
        if not self.model.rate_independent_analysis:
            return None
        with _memory_errors(self._engine.device):
            return analyse_in_batches(
                self.model,
                [_pixels_for_model(fill_transparent(picture)) for picture in pictures],
            )

    @in_own_state
    def encode(
        self,
        picture: Picture,
        setting: RateSetting | int,
        latents: Latents | None = None,
        *,
        effort: Effort = NO_EFFORT,
        monitor: SearchMonitor | None = None,
    ) -> bytes:
        """The bytes of a .vrc file at a setting, or a 16-bit rate code.

        A bilevel picture is stored without loss, whatever the setting. ``latents``: of the picture as
        `fill_transparent` gives it, where they are known. ``monitor``: of the search that ``effort`` asks for.

        Raises LimitError, DeviceError, UsageError when the family lacks what the setting asks for, or the
        picture is too small for what ``effort`` aims at, and InputError when the model breaks down on it.
        """
        start_time = time.monotonic()
        setting = RateSetting(setting) if isinstance(setting, int) else setting
        if picture.mode == "1":
            return self.encode_lossless(picture)
        picture = fill_transparent(picture)
        latents = latents or self.analyse(picture)
        if effort.searches:
            refined = self.refine(picture, latents, setting, effort, monitor, start_time=start_time)
            return self.assemble(picture, setting, refined.streams)
        return self.assemble(picture, setting, self.compress(picture, latents, setting))

    def encode_lossless(self, picture: Picture) -> bytes:
        """The bytes of a .vrc file that stores ``picture`` without loss, without a model. Raises LimitError."""
        with stage("lossless"):
            return encode_lossless(picture, self._auxiliary.chunks(picture))

    def auxiliary_bytes(self, picture: Picture) -> int:
        """Bytes of alpha, metadata and lossless cells in the file, the same at every rate."""
        return sum(len(chunk.payload) for chunk in self._auxiliary.chunks(picture))

    @in_own_state
    def bin_setting(self, size: float) -> RateSetting:
        """A quantisation step of ``size``, 1/64 .. 64, at the rate whose step is nearest.

        Raises UsageError when the family has no such step, or when it is out of range.
        """
        bin_code = code_from_bin_size(size)
        return RateSetting(self.model.rate_code_for_bin_size(bin_code), bin_code)

    @in_own_state
    def compress(self, picture: Picture, latents: Latents, setting: RateSetting) -> list[Stream]:
        """The latent streams of ``picture`` at a setting. Raises as `encode` does."""
        rate = self._derive_rate_parameters(picture, setting)
        with _memory_errors(self._engine.device):
            return self.model.compress(latents, rate)

    @in_own_state
    def refine(
        self,
        picture: Picture,
        latents: Latents,
        setting: RateSetting,
        effort: Effort,
        monitor: SearchMonitor | None = None,
        initial: ContinuousLatents | None = None,
        start_time: float | None = None,
    ) -> Refined:
        """The streams after latent refinement (`vrcodec.refinement`). Raises as `encode` does.

        ``initial``: refined latents of the same picture at another setting. ``start_time``: when a time budget
        of ``effort`` began to run, on the monotonic clock; by default now.
        """
        require("torch", "torch", "a search for fewer bits")
        if self.model.backend.kernels.name != "torch":
            raise UsageError("a search for fewer bits needs --engine torch")
        from vrcodec.refinement.refine import RefinementTask, refine

        def file_size(streams: Sequence[Stream]) -> int:
            return len(self.assemble(picture, setting, streams))

        rate = self._derive_rate_parameters(picture, setting)
        start_time = time.monotonic() if start_time is None else start_time
        task = RefinementTask(
            self.model, _pixels_for_model(picture), latents, rate, file_size, start_time
        )
        with _memory_errors(self._engine.device), stage("search"):
            return refine(task, effort, monitor or SearchMonitor(), initial)

    def assemble(self, picture: Picture, setting: RateSetting, streams: Sequence[Stream]) -> bytes:
        """The bytes of the file that holds ``streams``."""
        setting = self._stored_setting(setting)
        header = Header(
            self.model.method,
            self._entry.id,
            picture.width,
            picture.height,
            MODE_NUMBERS[picture.mode],
            setting.rate_code,
        )
        with stage("container"):
            auxiliary = self._auxiliary.chunks(picture)
            return assemble_file(header, [*auxiliary, *setting.chunks(), *_latent_chunks(streams)])

    def _derive_rate_parameters(self, picture: Picture, setting: RateSetting) -> RateParameters:
        stored = self._stored_setting(setting)
        return derive_rate_parameters(self.model, stored, picture.width, picture.height)

    def _stored_setting(self, setting: RateSetting) -> RateSetting:
        """``setting`` as a file has it: with the width that its limit leads to."""
        if setting.max_width is None:
            return setting
        code, width = self.model.limit_width(setting.rate_code, setting.max_width)
        return replace(setting, rate_code=code, width=width, max_width=None)


def _pixels_for_model(picture: Picture) -> Pixels:
    """What the analysis sees of a picture, (H, W, 3) uint8."""
    return soften_patterns(fill_lossless_cells(picture))


def _latent_chunks(streams: Sequence[Stream]) -> list[Chunk]:
    if streams[0].level_count > 1:
        return [Chunk(schema.CHUNK_PROGRESSIVE, build_progressive(streams))]
    return [Chunk(schema.CHUNK_STREAM, payload) for payload in build_streams(streams)]


@dataclass(frozen=True)
class CodedPicture:
    """The parsed content of a file. ``level_count``: progressive levels of the picture; in a file that is not
    ``complete``, the streams may have fewer.

    ``alpha_payloads``: one for each block, or none. ``lossless_payloads``: the same, in place of ``streams``,
    where the picture is stored without a model. ``cell_payloads``: the same, of lossless cells, or none.
    """

    header: Header
    setting: RateSetting
    streams: Sequence[Stream]
    level_count: int
    complete: bool
    alpha_payloads: Sequence[bytes] = ()
    lossless_payloads: Sequence[bytes] = ()
    cell_payloads: Sequence[bytes] = ()
    metadata: Metadata = field(default_factory=Metadata)

    @property
    def available_levels(self) -> int:
        """How many levels the file has, whole or cut short."""
        return self.streams[0].level_count if self.level_count > 1 else 1

    def overlay(self) -> Overlay | None:
        """What puts the lossless cells over decoded pixels; None without any."""
        if not self.cell_payloads:
            return None
        channels = channel_count(self.header.mode)
        size = self.header.width, self.header.height
        return LosslessCells(self.cell_payloads, *size, channels).overlay


class Decoder:
    """Decodes files; keeps the models it has loaded. The module's docstring names the steps."""

    def __init__(self, engine: Engine | None = None, limits: Limits = DEFAULT_LIMITS) -> None:
        self._engine = engine or DEFAULT_ENGINE
        self._limits = limits
        self._models: dict[bytes, VariableRateModel] = {}

    @in_own_state
    def decode(
        self,
        data: Source,
        levels: int | None = None,
        *,
        partial: bool = False,
        region: Region = WHOLE,
    ) -> Picture:
        """The picture of a .vrc file, or a ``region`` of it, from all its levels or the first ``levels``.

        With ``partial`` the file may end early: then from the levels that are complete. Raises FormatError,
        CorruptError, LimitError, WeightsError or DeviceError, and UsageError when there are not so many levels,
        or for a region beyond the picture.
        """
        coded = self.read(data, partial=partial)
        return self.reconstruct(coded, levels, region)

    def read(self, data: Source, *, partial: bool = False) -> CodedPicture:
        """Parse a file and check its structure. Raises as `decode` does.

        Blocks of a `FileSource` are not read before `reconstruct` needs them.
        """
        with stage("container"):
            container = parse_container(data, self._limits, partial=partial)
            setting = parse_supported_setting(container)
            progressive = parse_progressive_chunk(container)
            streams: Sequence[Stream] = []
            lossless: Sequence[bytes] = []
            chunks = container.latent_chunks()
            if progressive:
                streams = progressive.streams
            elif container.header.method == schema.METHOD_LOSSLESS:
                lossless = LazyPayloads(chunks, bytes)
            else:
                if isinstance(data, bytes):
                    check_picture_ties(sum(read_tie_count(chunk.payload) for chunk in chunks))
                streams = LazyPayloads(chunks, parse_stream)
            return CodedPicture(
                container.header,
                setting,
                streams,
                progressive.level_count if progressive else 1,
                container.complete,
                alpha_blocks(container),
                lossless,
                cell_blocks(container),
                parse_metadata(container, self._limits),
            )

    @in_own_state
    def reconstruct(
        self, coded: CodedPicture, levels: int | None = None, region: Region = WHOLE
    ) -> Picture:
        """The picture that `read` parsed, or a ``region`` of it. Raises as `decode` does."""
        header = coded.header
        if levels is not None and not 1 <= levels <= coded.available_levels:
            raise UsageError(f"there is no level {levels}: the file has {coded.available_levels}")
        with _memory_errors(self._engine.device):
            if coded.lossless_payloads:
                pixels = decode_lossless(coded.lossless_payloads, header, region)
            else:
                pixels = self._run_model(coded, levels, region)
            # After the latents, whose first block tells whether the file can be trusted.
            alpha = None
            if coded.alpha_payloads:
                alpha = unpack_region(coded.alpha_payloads, header.width, header.height, 1, region)
        return Picture(pixels, region.output_mode(MODES[header.mode]), alpha, coded.metadata)

    def first_visible_level(self, coded: CodedPicture) -> int:
        """The first level whose picture shows something of that of all levels.

        It is nearer to that, by `_LEAST_GAIN` dB, than a single colour is, the mean. Judged by the middle,
        `_JUDGED_SIDE` pixels a side at most. Raises as `decode` does.
        """
        last = coded.available_levels
        if last == 1:
            return 1
        region = Region(Rectangle.middle(coded.header.width, coded.header.height, _JUDGED_SIDE))
        whole = self.reconstruct(coded, region=region).pixels
        mean = np.rint(whole.mean(axis=(0, 1))).astype(whole.dtype)
        least = psnr(np.broadcast_to(mean, whole.shape), whole) + _LEAST_GAIN
        visible = (
            level
            for level in range(1, last)
            if psnr(self.reconstruct(coded, level, region).pixels, whole) >= least
        )
        return next(visible, last)

    def _run_model(self, coded: CodedPicture, levels: int | None, region: Region) -> Pixels:
        """Pixels (H, W, 3) by the model that a file names."""
        header, setting = coded.header, coded.setting
        area = region.rectangle(header.width, header.height)
        model = self._find_model(header, area.width * area.height)
        try:
            rate = derive_rate_parameters(model, setting, header.width, header.height)
        except UsageError as error:
            raise CorruptError(f"damaged: {error}") from error
        streams = coded.streams
        if levels is not None and levels < coded.available_levels:
            streams = [stream.truncate(levels) for stream in streams]
        return model.decompress(streams, rate, header.width, header.height, region, coded.overlay())

    def _find_weights(self, identity: bytes) -> WeightsEntry:
        try:
            return find_by_id(identity)
        except WeightsError:
            if not self._engine.fetches:
                raise
        from vrcodec.weights import fetch

        return fetch(identity.hex())

    def _find_model(self, header: Header, pixels: int) -> VariableRateModel:
        if header.weights_id not in self._models:
            with stage("load"):
                entry = self._find_weights(header.weights_id)
                self._models[header.weights_id] = _load(self._engine, entry, pixels, encoder=False)
        model = self._models[header.weights_id]
        if model.method != header.method:
            raise FormatError(
                f"names method {header.method}, but its weights are of method {model.method}"
            )
        return model


def derive_rate_parameters(
    model: VariableRateModel, setting: RateSetting, width: int, height: int
) -> RateParameters:
    """What a model derives from a setting (gains, tables, ...), for a picture of ``width`` x ``height``.

    Raises UsageError when the family lacks what the setting asks for.
    """
    if setting.width is None:
        rate = model.rate_parameters(setting.rate_code)
    else:
        rate = model.rate_parameters_at_width(setting.rate_code, setting.width)
    if setting.bin_code is not None:
        rate = model.with_bin_size(rate, setting.bin_code)
    if setting.qmap is not None and (setting.has_varying_map or not model.takes_quality_map):
        rate = model.with_quality_map(rate, setting.qmap, LatentGrid.of_picture(width, height))
    return rate


@contextmanager
def _memory_errors(device: str) -> Iterator[None]:
    """Turn the ways in which memory runs out into LimitError, or DeviceError on an accelerator."""
    try:
        yield
    except MemoryError as error:
        raise LimitError("not enough memory for a picture of this size") from error
    except RuntimeError as error:
        # PyTorch's, which need not be installed.
        if type(error).__name__ == "OutOfMemoryError":
            raise DeviceError(f"out of memory on {device}; try --device cpu") from error
        if "allocate memory" not in str(error):
            raise
        raise LimitError("not enough memory for a picture of this size") from error
