"""Metrics of 8-bit pictures (`pictures`); SSIMULACRA 2 (`perceptual`), MS-SSIM (`structural`) of arrays."""

from vrcodec.metrics.perceptual import MIN_SIDE as SSIMULACRA2_MIN_SIDE
from vrcodec.metrics.pictures import (
    MAX_DECIBELS,
    METRICS,
    Metric,
    Pixels,
    as_decibels,
    capped_psnr,
    choose_metrics,
    haarpsi,
    installed_metrics,
    ms_ssim,
    psnr,
    ssimulacra2,
)
from vrcodec.metrics.structural import MIN_SIDE as MS_SSIM_MIN_SIDE

__all__ = [
    "MAX_DECIBELS",
    "METRICS",
    "MS_SSIM_MIN_SIDE",
    "SSIMULACRA2_MIN_SIDE",
    "Metric",
    "Pixels",
    "as_decibels",
    "capped_psnr",
    "choose_metrics",
    "haarpsi",
    "installed_metrics",
    "ms_ssim",
    "psnr",
    "ssimulacra2",
]
