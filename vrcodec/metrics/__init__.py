"""Quality metrics: of 8-bit pictures (`pictures`), and SSIMULACRA 2 of arrays (`perceptual`)."""

from vrcodec.metrics.pictures import (
    MAX_DECIBELS,
    METRICS,
    MS_SSIM_MIN_SIDE,
    SSIMULACRA2_MIN_SIDE,
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
