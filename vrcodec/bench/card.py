"""Markdown tables of the figures in weights cards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

_MIDDLE_RATE = 0.5
# Every second rate of a card's eleven.
_RATE_STEP = 2


_ANCHORS = {
    "jpeg": "JPEG (Pillow, 4:2:0, optimised)",
    "webp": "WebP (method 6)",
    "avif": "AVIF (speed 4, 4:4:4)",
    "avif_ssimulacra2": "AVIF tuned for SSIMULACRA 2",
    "jxl": "JPEG XL (effort 7)",
}


def card_table(card: Mapping[str, Any]) -> str:
    """A card for the eye: its curve as a Markdown table, and its BD-rates in two sentences."""
    lines = ["| rate | bpp | SSIMULACRA 2 | PSNR dB | MS-SSIM |", "| --- | --- | --- | --- | --- |"]
    lines += [
        f"| {p['setting']:.1f} | {p['bpp']:.3f} | {p['ssimulacra2']:.1f} | {p['psnr']:.2f} "
        f"| {p['ms_ssim']:.4f} |"
        for p in card["curve"][::_RATE_STEP]
    ]
    pictures = card["pictures"]
    by_score = _bd_rates(card["bd_rate_percent_by_metric"]["ssimulacra2"])
    lines += [
        "",
        f"Mean of {pictures['count']} {pictures['folder'].title()} pictures, from real files, by "
        f"`{card['family']}` with weights `{card['id']}`. BD-rate (negative is fewer bits) at equal "
        f"SSIMULACRA 2: {by_score}. At equal PSNR: {_bd_rates(card['bd_rate_percent'])}.",
    ]
    return "\n".join(lines)


def _bd_rates(rates: Mapping[str, float]) -> str:
    return ", ".join(
        f"{rates[key]:+.1f} % against {title}" for key, title in _ANCHORS.items() if key in rates
    )


def families_table(cards: Iterable[Mapping[str, Any]]) -> str:
    """Cards of several families beside one another, fewest bits first, as a Markdown table."""
    columns = (
        "family",
        "weights",
        "parameters",
        "kMAC a pixel, decoding",
        "decode s",
        "against JPEG",
        "against AVIF",
        "against VTM-18",
        "trained for samples",
    )
    ordered = sorted(cards, key=lambda card: card["bd_rate_percent"]["vtm18"])
    rows = [columns, ["---"] * len(columns), *map(_family_row, ordered)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _family_row(card: Mapping[str, Any]) -> list[str]:
    bd_rates, work = card["bd_rate_percent"], card["kmac_per_pixel"]
    encoder_parts = ("analysis", "hyper_analysis", "posterior")
    decoding = sum(kmac for part, kmac in work.items() if part not in encoder_parts)
    middle = next(point for point in card["curve"] if point["setting"] == _MIDDLE_RATE)
    return [
        f"`{card['family']}`",
        f"`{card['id']}`",
        f"{card['parameters'] / 1e6:.1f} M",
        f"{decoding:.0f}",
        f"{middle['decode_seconds']:.3f}",
        *(f"{bd_rates[key]:+.1f} %" for key in ("jpeg", "avif", "vtm18")),
        f"{sum(stage.get('samples', 0) for stage in card['training']):,}",
    ]
