"""Quality and rate metrics, on 8-bit pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from vrcodec.errors import UsageError

Pixels = npt.NDArray[np.uint8]

# MS-SSIM halves a picture four times and then needs an 11-pixel window.
MS_SSIM_MIN_SIDE = 161


def psnr(a: Pixels, b: Pixels) -> float:
    """Peak signal-to-noise ratio in dB of two uint8 arrays of one shape; infinity when equal."""
    error = float(np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2))
    return float("inf") if error == 0 else float(10 * np.log10(255.0**2 / error))


def ms_ssim(a: Pixels, b: Pixels) -> float:
    """Multi-scale structural similarity (Wang et al. 2003) of two (H, W, 3) uint8 pictures, 0 .. 1."""
    import torch
    from pytorch_msssim import ms_ssim as compute

    if min(a.shape[:2]) < MS_SSIM_MIN_SIDE:
        raise UsageError(f"MS-SSIM needs pictures of at least {MS_SSIM_MIN_SIDE} pixels a side")
    x, y = (torch.from_numpy(p.copy()).permute(2, 0, 1).unsqueeze(0).float() for p in (a, b))
    return float(compute(x, y, data_range=255))


def bd_rate(
    anchor_bpp: Sequence[float],
    anchor_psnr: Sequence[float],
    bpp: Sequence[float],
    quality: Sequence[float],
) -> float:
    """Average difference in rate at equal PSNR, in per cent; negative is better than the anchor.

    Bjontegaard's measure with PCHIP interpolation over the common range of PSNR.
    """
    import bjontegaard

    return float(
        bjontegaard.bd_rate(
            anchor_bpp,
            anchor_psnr,
            bpp,
            quality,
            method="pchip",
            require_matching_points=False,
            min_overlap=0,
        )
    )
