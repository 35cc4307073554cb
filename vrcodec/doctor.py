"""What this installation consists of, and whether it does what it must: for reports of faults."""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch

from vrcodec.bench.machine import machine, versions
from vrcodec.bitstream.rans import CodingTables, StreamDecoder, StreamEncoder
from vrcodec.bitstream.rate_setting import Setting
from vrcodec.bitstream.tables import TOTAL, TableSet
from vrcodec.catalog import (
    DEFAULT_MODEL,
    ENVIRONMENT,
    Entry,
    installed,
    search_path,
)
from vrcodec.codec import Decoder, Encoder, Engine
from vrcodec.errors import VrcError
from vrcodec.metrics import capped_psnr
from vrcodec.models.device import exact_device, float_dtype
from vrcodec.models.weights import check_content
from vrcodec.picture.picture import Picture

# CRC-32 of what the coder makes of known symbols: the same on every machine, for ever.
CODER_ANSWER = 0x3302C994
_SECONDS = 1.0
_RATE = 0.5
# Height and width: of the model's own check, and of what is timed.
_SMALL, _LARGE = (48, 80), (512, 768)
# What else changes how the program behaves.
_ENVIRONMENT = (ENVIRONMENT, "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")


@dataclass(frozen=True)
class Check:
    """One thing that must hold. ``words``: what was found, or what is wrong."""

    name: str
    ok: bool
    words: str


@dataclass(frozen=True)
class Diagnosis:
    """What `diagnose` found. ``speed``: of the default model, megapixels a second; empty where it failed."""

    versions: dict[str, str]
    machine: dict[str, Any]
    environment: dict[str, str]
    weights_folders: list[str]
    checks: list[Check]
    speed: dict[str, float] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether everything holds that must."""
        return all(check.ok for check in self.checks)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"ok": self.ok, **asdict(self)}


def diagnose(device: str = "auto") -> Diagnosis:
    """Look at everything, which takes a few seconds. Raises UsageError or DeviceError for ``device``."""
    about = machine(device, torch.get_num_threads())
    checks = [_checked("entropy coder", check_coder)]
    checks += [_checked(f"device {name}", partial(_device_words, name)) for name in _devices()]
    for entry in installed():
        name = f"{entry.family} {entry.id.hex()}"
        checks.append(_checked(f"weights {name}", partial(_weights_words, entry)))
    # Of each family, what encodes when it is named.
    for family in dict.fromkeys(entry.family for entry in installed()):
        checks.append(_checked(f"model {family}", partial(_round_trip_words, family, device)))
    speed: dict[str, float] = {}
    checks.append(_checked("speed", partial(_speed_words, device, speed)))
    environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    folders = [str(folder) for folder in search_path()]
    return Diagnosis(versions(), about, environment, folders, checks, speed)


def _checked(name: str, check: Callable[[], str]) -> Check:
    """A check whose words are what ``check`` returns or, where it raises, what is wrong."""
    try:
        return Check(name, True, check())
    except VrcError as error:
        return Check(name, False, str(error))
    except Exception as error:
        # A broken installation fails in ways that nobody foresaw: to show them is what this is for.
        return Check(name, False, f"{type(error).__name__}: {error}")


def check_coder() -> str:
    """Code known symbols, escapes among them, with known tables. Raises RuntimeError where bytes differ."""
    ramp = np.arange(1, 11)
    escape = 1
    middle = TOTAL - 2 * int(ramp.sum()) - escape
    row = np.concatenate([ramp, [middle], ramp[::-1], [escape]])
    tables = CodingTables(TableSet(np.tile(row, 2), np.array([len(row)] * 2)))
    symbols = (np.arange(500, dtype=np.int32) * 7919 % 41 - 20).astype(np.int32)
    indices = (np.arange(500) % 2).astype(np.uint8)
    encoder = StreamEncoder()
    encoder.put(symbols, indices, tables)
    data = encoder.finish()
    if zlib.crc32(data) != CODER_ANSWER:
        raise RuntimeError(f"codes known symbols otherwise than it must ({zlib.crc32(data):08x})")
    if (StreamDecoder(data).get(indices, tables) != symbols).any():
        raise RuntimeError("does not decode what it coded")
    return "right"


def _devices() -> list[str]:
    return ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]


def _device_words(name: str) -> str:
    """What runs on a device, and in which precision."""
    device = torch.device(name)
    exact = "float64 right" if exact_device(device) == device else "float64 not right: on the CPU"
    precision = str(float_dtype(device, "auto")).removeprefix("torch.")
    model = f"{torch.cuda.get_device_name(device)}, " if device.type == "cuda" else ""
    return f"{model}{exact}, networks in {precision}"


def _weights_words(entry: Entry) -> str:
    """Read a weights file whole, and check it against its id."""
    size = check_content(entry)
    return f"right, {size / 1e6:.1f} MB, {entry.path}"


def _round_trip_words(family: str, device: str) -> str:
    """Encode and decode a small picture: the decoder checks that every symbol is as it was."""
    engine = Engine(device)
    picture = _test_picture(_SMALL)
    data = Encoder(family, engine).encode(picture, Setting.at(_RATE))
    decoded = Decoder(engine).decode(data)
    if decoded.pixels.shape != picture.pixels.shape:
        raise RuntimeError("decodes to another size")
    quality = capped_psnr(picture.pixels, decoded.pixels)
    return f"decodes what it encodes, {quality:.1f} dB"


def _speed_words(device: str, speed: dict[str, float]) -> str:
    """Fill ``speed``: as many runs as fit into a second, after one to warm up."""
    engine, picture = Engine(device), _test_picture(_LARGE)
    encoder, decoder = Encoder(DEFAULT_MODEL, engine), Decoder(engine)
    data = encoder.encode(picture, Setting.at(_RATE))
    megapixels = picture.width * picture.height / 1e6
    speed["encode"] = round(
        megapixels / _seconds(lambda: encoder.encode(picture, Setting.at(_RATE))), 3
    )
    speed["decode"] = round(megapixels / _seconds(lambda: decoder.decode(data)), 3)
    return "{encode} MP/s encoding, {decode} decoding".format(**speed) + f" ({DEFAULT_MODEL})"


def _seconds(work: Callable[[], object]) -> float:
    """Of one run, the median of those that fit into half the time."""
    work()
    end = time.perf_counter() + _SECONDS / 2
    found: list[float] = []
    while not found or time.perf_counter() < end:
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return float(np.median(found))


def _test_picture(shape: tuple[int, int]) -> Picture:
    """Slopes, edges and texture, the same every time: (H, W, 3)."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    waves = 40 * np.sin(x / 7) * np.cos(y / 11)
    squares = 60 * ((x // 32 + y // 32) % 2)
    channels = [squares + waves + x * 90 / shape[1], 128 + waves, y * 200 / shape[0]]
    return Picture.from_array(np.stack(channels, axis=2).clip(0, 255).astype(np.uint8))
