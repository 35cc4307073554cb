"""Metrics of 8-bit pictures: PSNR, MS-SSIM, SSIMULACRA 2 and HaarPSI.

HaarPSI is the control: nothing here is trained or tuned for it. Two are missing: LPIPS, because its packages
download the weights of its network when they run, and butteraugli, for which there is no package.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from vrcodec.errors import UsageError
from vrcodec.extras import is_installed, require
from vrcodec.kernels import Array
from vrcodec.metrics.perceptual import MIN_SIDE as SSIMULACRA2_MIN_SIDE
from vrcodec.metrics.perceptual import measure_ssimulacra2
from vrcodec.metrics.structural import MIN_SIDE as MS_SSIM_MIN_SIDE
from vrcodec.metrics.structural import measure_ms_ssim
from vrcodec.own_state import in_own_state

if TYPE_CHECKING:
    from torch import Tensor

Pixels = npt.NDArray[np.uint8]

HAARPSI_MIN_SIDE = 16
# In dB: the value of two equal pictures.
MAX_DECIBELS = 100.0
_STRIP_SAMPLES = 1 << 20


def psnr(a: Pixels, b: Pixels) -> float:
    """Peak signal-to-noise ratio in dB of two uint8 arrays of one shape; infinity when equal."""
    # Strip by strip: squares of all samples at once would take many times the memory of the pictures.
    rows = max(1, _STRIP_SAMPLES * len(a) // a.size)
    squares = 0
    for top in range(0, len(a), rows):
        difference = np.subtract(a[top : top + rows], b[top : top + rows], dtype=np.int32)
        squares += int(np.square(difference).sum(dtype=np.int64))
    return float("inf") if squares == 0 else float(10 * np.log10(255.0**2 * a.size / squares))


def capped_psnr(a: Pixels, b: Pixels) -> float:
    """`psnr`, at most `MAX_DECIBELS` dB, so that an exact reproduction does not make a mean infinite."""
    return min(psnr(a, b), MAX_DECIBELS)


@in_own_state
def ms_ssim(a: Pixels, b: Pixels) -> float | None:
    """Multi-scale structural similarity (Wang et al. 2003) of two (H, W, 3) uint8 pictures, 0 .. 1.

    None for pictures with a side below `MS_SSIM_MIN_SIDE`, for which it is not defined.
    """
    if min(a.shape[:2]) < MS_SSIM_MIN_SIDE:
        return None
    return measure_ms_ssim(_as_batch(a), _as_batch(b))


@in_own_state
def ssimulacra2(a: Pixels, b: Pixels) -> float | None:
    """SSIMULACRA 2 (Cloudinary 2022) of two (H, W, 3) uint8 pictures, ``a`` the original; 100 when equal.

    None for pictures with a side below `SSIMULACRA2_MIN_SIDE`.
    """
    if min(a.shape[:2]) < SSIMULACRA2_MIN_SIDE:
        return None
    return measure_ssimulacra2(_as_batch(a), _as_batch(b))


@in_own_state
def haarpsi(a: Pixels, b: Pixels) -> float | None:
    """Haar wavelet-based perceptual similarity of two (H, W, 3) uint8 pictures, 0 .. 1.

    Reisenhofer, Bosse, Kutyniok and Wiegand, "A Haar Wavelet-Based Perceptual Similarity Index for Image
    Quality Assessment" (2018). None for pictures with a side below `HAARPSI_MIN_SIDE`.
    """
    from piq import haarpsi as compute_haarpsi

    if min(a.shape[:2]) < HAARPSI_MIN_SIDE:
        return None
    # Rounding takes it beyond 1.
    return min(
        float(compute_haarpsi(_as_tensor(b).float(), _as_tensor(a).float(), data_range=255.0)), 1.0
    )


def _as_batch(pixels: Pixels) -> Array:
    """(1, 3, H, W) uint8, of PyTorch where that is installed."""
    return _as_tensor(pixels) if is_installed("torch") else pixels.transpose(2, 0, 1)[None]


def _as_tensor(pixels: Pixels) -> Tensor:
    """(1, 3, H, W) uint8, on a GPU where there is one."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.from_numpy(pixels.copy()).to(device).permute(2, 0, 1).unsqueeze(0)


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
        Metric("ms-ssim", "MS-SSIM (dB)", ms_ssim, scale=as_decibels),
        Metric("ssimulacra2", "SSIMULACRA 2", ssimulacra2),
        Metric("haarpsi", "HaarPSI (dB)", haarpsi, "piq", as_decibels),
    )
}


def installed_metrics(names: Sequence[str]) -> tuple[str, ...]:
    """Those of ``names`` whose packages are installed."""
    packages = {name: METRICS[name].package for name in names}
    return tuple(n for n, package in packages.items() if package is None or is_installed(package))


def choose_metrics(names: Sequence[str]) -> tuple[Metric, ...]:
    """The metrics called ``names``, PSNR first. Raises UsageError if unknown or its package is missing."""
    for name in names:
        if name not in METRICS:
            raise UsageError(f"no metric {name!r}; there are: {', '.join(METRICS)}")
        package = METRICS[name].package
        if package:
            require(package, "bench", f"the metric {name}")
    return tuple(METRICS[name] for name in dict.fromkeys(("psnr", *names)))
