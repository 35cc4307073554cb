"""Rate and quality of vrcodec and its rivals on a folder of pictures, from real files."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from vrcodec.bench.metrics import Pixels, ms_ssim, psnr
from vrcodec.bench.rivals import Rival
from vrcodec.codec import Decoder, Encoder, Engine
from vrcodec.picture import Picture, read_picture
from vrcodec.rate import code_from_rate


@dataclass(frozen=True)
class Sample:
    """One picture at one setting. Times in seconds; ``bpp`` from the size of the file."""

    picture: str
    setting: float
    bpp: float
    psnr: float
    ms_ssim: float
    encode_seconds: float
    decode_seconds: float


def load_folder(folder: Path) -> dict[str, Picture]:
    """Every PNG picture of ``folder``, by file name."""
    pictures = {}
    for path in sorted(folder.glob("*.png")):
        with path.open("rb") as file:
            pictures[path.name] = read_picture(file, str(path), strip=True)
    return pictures


def measure_model(
    family: str, pictures: dict[str, Picture], rates: Sequence[float], engine: Engine
) -> list[Sample]:
    """Encode to a file, read it back and decode it, with a decoder that knows nothing else."""
    encoder, decoder = Encoder(family, engine), Decoder(engine)
    samples = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "picture.vrc")
        for name, picture in pictures.items():
            for rate in rates:
                start = time.perf_counter()
                path.write_bytes(encoder.encode(picture, code_from_rate(rate)))
                middle = time.perf_counter()
                decoded = decoder.decode(path.read_bytes())
                times = middle - start, time.perf_counter() - middle
                size = path.stat().st_size
                samples.append(_sample(name, rate, picture, size, decoded.pixels, *times))
    return samples


def measure_rival(rival: Rival, pictures: dict[str, Picture]) -> list[Sample]:
    """The same for another codec; its times are not taken apart and stay zero."""
    samples = []
    for name, picture in pictures.items():
        for quality in rival.qualities:
            size, decoded = rival.round_trip(picture.pixels, quality)
            samples.append(_sample(name, quality, picture, size, decoded, 0.0, 0.0))
    return samples


def _sample(
    name: str, setting: float, picture: Picture, size: int, decoded: Pixels, *times: float
) -> Sample:
    bpp = 8 * size / (picture.width * picture.height)
    quality = psnr(picture.pixels, decoded), ms_ssim(picture.pixels, decoded)
    return Sample(name, setting, bpp, *quality, *times)


def mean_curve(samples: Sequence[Sample]) -> list[dict[str, float]]:
    """Mean over the pictures at each setting, in order of the setting."""
    curve = []
    for setting in sorted({sample.setting for sample in samples}):
        rows: list[dict[str, Any]] = [asdict(s) for s in samples if s.setting == setting]
        columns = ("bpp", "psnr", "ms_ssim", "encode_seconds", "decode_seconds")
        means = {c: sum(row[c] for row in rows) / len(rows) for c in columns}
        curve.append({"setting": setting, **means})
    return curve


def steps_back(samples: Sequence[Sample], value: Callable[[Sample], float]) -> list[str]:
    """Pictures for which ``value`` falls somewhere when the setting rises."""
    pictures: dict[str, list[Sample]] = {}
    for sample in samples:
        pictures.setdefault(sample.picture, []).append(sample)
    found = []
    for name, own in pictures.items():
        values = [value(s) for s in sorted(own, key=lambda s: s.setting)]
        if any(b < a for a, b in pairwise(values)):
            found.append(name)
    return found
