"""Measured figures as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Every second rate of a card's eleven.
_STEP = 2


def card_table(card: Mapping[str, Any]) -> str:
    """The figures of a weights card as a Markdown table and a sentence."""
    lines = ["| rate | bpp | PSNR dB | MS-SSIM |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {p['setting']:.1f} | {p['bpp']:.3f} | {p['psnr']:.2f} | {p['ms_ssim']:.4f} |"
        for p in card["curve"][::_STEP]
    ]
    against = card["bd_rate_percent"]
    named = {
        "jpeg": "JPEG (Pillow, 4:2:0, optimised)",
        "webp": "WebP (method 6)",
        "avif": "AVIF (speed 4, 4:4:4)",
        "vtm18": "VTM-18",
    }
    rates = ", ".join(
        f"{against[key]:+.1f} % against {name}" for key, name in named.items() if key in against
    )
    pictures = card["pictures"]
    lines += [
        "",
        f"Mean of the {pictures['count']} {pictures['folder'].title()} pictures, from real files, by "
        f"`{card['family']}` with weights `{card['id']}`. BD-rate (negative is fewer bits at equal "
        f"PSNR): {rates}.",
    ]
    return "\n".join(lines)
