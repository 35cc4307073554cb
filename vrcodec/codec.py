"""The whole path in one place: picture -> model -> container, and back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from vrcodec.bitstream import schema
from vrcodec.bitstream.container import Chunk, Container, Header, build_container, parse_container
from vrcodec.bitstream.streams import Stream, build_stream, parse_stream
from vrcodec.catalog import DEFAULT_MODEL, Entry, find_by_family, find_by_id
from vrcodec.device import resolve_device
from vrcodec.errors import DeviceError, FormatError, LimitError
from vrcodec.inspection import MODES, check_supported
from vrcodec.limits import DEFAULT_LIMITS, Limits
from vrcodec.models.base import Latents, RateState, VariableRateModel
from vrcodec.models.zoo import load_model
from vrcodec.picture import Picture
from vrcodec.rate import code_from_bin_size
from vrcodec.stages import stage

_MODE_NUMBERS = {mode: number for number, mode in MODES.items()}


@dataclass(frozen=True)
class Engine:
    """Where and how networks run. ``precision``: of the float part; ``strip_units``: latent rows."""

    device: str = "auto"
    precision: str = "auto"
    strip_units: int | None = None

    def load(self, entry: Entry) -> VariableRateModel:
        """The model of ``entry``, ready on this engine's device."""
        device = resolve_device(self.device)
        return load_model(entry, device, self.precision, self.strip_units)


class Encoder:
    """Encodes pictures with one model; keep it to encode many."""

    def __init__(self, family: str = DEFAULT_MODEL, engine: Engine | None = None) -> None:
        self._entry = find_by_family(family)
        self._engine = engine or Engine()
        self.model = self._engine.load(self._entry)

    def analyse(self, picture: Picture) -> Latents:
        """The part of the work that does not depend on the rate."""
        with _memory_errors(self._engine.device):
            return self.model.analysis(picture.pixels)

    def encode(self, picture: Picture, rate_code: int, latents: Latents | None = None) -> bytes:
        """The bytes of a .vrc file at the 16-bit ``rate_code``. Raises LimitError or DeviceError."""
        latents = latents or self.analyse(picture)
        return self.pack(picture, rate_code, self.code(latents, rate_code))

    def encode_with_bin_size(self, picture: Picture, size: float) -> bytes:
        """The same with a quantisation step of ``size``, 1/64 .. 64, at the rate whose step is nearest.

        Raises UsageError when the family has no such step, or when it is out of range.
        """
        bin_code = code_from_bin_size(size)
        rate_code = self.model.rate_code_of_bins(bin_code)
        streams = self.code(self.analyse(picture), rate_code, bin_code)
        chunk = Chunk(schema.CHUNK_BIN_SIZE, schema.BinSize.build(bin_code))
        return self.pack(picture, rate_code, streams, [chunk])

    def code(self, latents: Latents, rate_code: int, bin_code: int | None = None) -> list[Stream]:
        """The latent streams at a rate. Raises LimitError, DeviceError or UsageError."""
        with _memory_errors(self._engine.device):
            return self.model.compress(latents, _rate_state(self.model, rate_code, bin_code))

    def pack(
        self,
        picture: Picture,
        rate_code: int,
        streams: Sequence[Stream],
        others: Sequence[Chunk] = (),
    ) -> bytes:
        """The bytes of the file that holds ``streams``, behind ``others``."""
        header = Header(
            self.model.method,
            self._entry.id,
            picture.width,
            picture.height,
            _MODE_NUMBERS[picture.mode],
            rate_code,
        )
        with stage("container"):
            coded = [Chunk(schema.CHUNK_STREAM, build_stream(stream)) for stream in streams]
            return build_container(Container(header, [*others, *coded]))


class Decoder:
    """Decodes files; keeps the models it has loaded."""

    def __init__(self, engine: Engine | None = None, limits: Limits = DEFAULT_LIMITS) -> None:
        self._engine = engine or Engine()
        self._limits = limits
        self._models: dict[bytes, VariableRateModel] = {}

    def decode(self, data: bytes) -> Picture:
        """Picture of a .vrc file.

        Raises FormatError, CorruptError, LimitError, WeightsError or DeviceError.
        """
        with stage("container"):
            container = parse_container(data, self._limits)
            check_supported(container)
        header = container.header
        model = self._model(header)
        rate = _rate_state(model, header.rate_code, container.bin_code())
        with _memory_errors(self._engine.device):
            with stage("container"):
                streams = [parse_stream(chunk.payload) for chunk in container.streams()]
            pixels = model.decompress(streams, rate, header.width, header.height)
        return Picture(pixels, MODES[header.mode])

    def _model(self, header: Header) -> VariableRateModel:
        if header.weights_id not in self._models:
            with stage("load"):
                self._models[header.weights_id] = self._engine.load(find_by_id(header.weights_id))
        model = self._models[header.weights_id]
        if model.method != header.method:
            raise FormatError(
                f"names method {header.method}, but its weights are of method {model.method}"
            )
        return model


def _rate_state(model: VariableRateModel, code: int, bin_code: int | None) -> RateState:
    rate = model.rate_state(code)
    return rate if bin_code is None else model.with_bin_size(rate, bin_code)


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
