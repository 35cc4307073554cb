"""Metrics of 8-bit pictures: PSNR, MS-SSIM and SSIMULACRA 2.

Two are missing: LPIPS, because its packages download the weights of its network when they run, and
butteraugli, for which there is no package.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
import numpy.typing as npt
from PIL import Image

from vrcodec.errors import UsageError

Pixels = npt.NDArray[np.uint8]

# MS-SSIM halves a picture four times and then needs an 11-pixel window.
MS_SSIM_MIN_SIDE = 161
SSIMULACRA2_MIN_SIDE = 8
# In dB: the value of two equal pictures.
MAX_DECIBELS = 100.0


def psnr(a: Pixels, b: Pixels) -> float:
    """Peak signal-to-noise ratio in dB of two uint8 arrays of one shape; infinity when equal."""
    error = float(np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2))
    return float("inf") if error == 0 else float(10 * np.log10(255.0**2 / error))


def capped_psnr(a: Pixels, b: Pixels) -> float:
    """`psnr`, at most `MAX_DECIBELS` dB, so that an exact reproduction does not make a mean infinite."""
    return min(psnr(a, b), MAX_DECIBELS)


def ms_ssim(a: Pixels, b: Pixels) -> float | None:
    """Multi-scale structural similarity (Wang et al. 2003) of two (H, W, 3) uint8 pictures, 0 .. 1.

    None for pictures with a side below `MS_SSIM_MIN_SIDE`, for which it is not defined.
    """
    import torch
    from pytorch_msssim import ms_ssim as compute_ms_ssim

    if min(a.shape[:2]) < MS_SSIM_MIN_SIDE:
        return None
    x, y = (torch.from_numpy(p.copy()).permute(2, 0, 1).unsqueeze(0).float() for p in (a, b))
    return float(compute_ms_ssim(x, y, data_range=255))


def ssimulacra2(a: Pixels, b: Pixels) -> float | None:
    """SSIMULACRA 2 (Cloudinary 2022) of two (H, W, 3) uint8 pictures; 100 when equal.

    None for pictures with a side below 8 pixels.
    """
    from ssimulacra2 import compute_ssimulacra2

    if min(a.shape[:2]) < SSIMULACRA2_MIN_SIDE:
        return None
    return float(compute_ssimulacra2(_as_png(a), _as_png(b)))


def _as_png(pixels: Pixels) -> io.BytesIO:
    """An uncompressed PNG in memory, since the package reads files."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=0)
    return buffer


def as_decibels(similarity: float) -> float:
    """A similarity in 0 .. 1, such as MS-SSIM, in dB: -10 log10(1 - similarity), at most `MAX_DECIBELS`."""
    return float(-10 * np.log10(max(1 - similarity, 10 ** (-MAX_DECIBELS / 10))))


@dataclass(frozen=True)
class Metric:
    """A quality metric, higher is better. ``scale`` maps it to the scale on which curves are compared."""

    name: str
    title: str
    compute: Callable[[Pixels, Pixels], float | None]
    package: str | None = None
    scale: Callable[[float], float] = float


METRICS = {
    metric.name: metric
    for metric in (
        Metric("psnr", "PSNR (dB)", capped_psnr),
        Metric("ms-ssim", "MS-SSIM (dB)", ms_ssim, "pytorch_msssim", as_decibels),
        Metric("ssimulacra2", "SSIMULACRA 2", ssimulacra2, "ssimulacra2"),
    )
}


def choose_metrics(names: Sequence[str]) -> tuple[Metric, ...]:
    """The metrics called ``names``, PSNR first. Raises UsageError if unknown or its package is missing."""
    for name in names:
        if name not in METRICS:
            raise UsageError(f"no metric {name!r}; there are: {', '.join(METRICS)}")
        package = METRICS[name].package
        if package and find_spec(package) is None:
            raise UsageError(f"the metric {name} needs more packages: pip install 'vrcodec[bench]'")
    return tuple(METRICS[name] for name in dict.fromkeys(("psnr", *names)))
