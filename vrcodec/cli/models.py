"""`vrcodec models`"""

from __future__ import annotations

from typing import Any

import click

from vrcodec.catalog import WeightsEntry, installed_weights
from vrcodec.cli.shared import options, output
from vrcodec.cli.shared.option_groups import MESSAGES, OUTPUT, GroupedCommand, option_group

_HELP = """List the installed models with their measured figures."""


@click.command(cls=GroupedCommand, help=_HELP)
@option_group(OUTPUT, options.json_option)
@option_group(MESSAGES, options.verbosity_options)
def command(as_json: bool) -> None:
    """Run the command."""
    entries = installed_weights()
    if as_json:
        output.print_json([{"path": str(e.path), **e.card} for e in entries])
        return
    columns = (
        "model",
        "generation",
        "weights",
        "tuned for",
        "parameters",
        "kMAC/pixel",
        "Kodak bpp",
        "PSNR dB",
        "vs JPEG",
    )
    rows = [row for entry in entries for row in (_row(entry), *_width_rows(entry))]
    output.print_table(columns, rows)


def _row(entry: WeightsEntry) -> tuple[str, ...]:
    card = entry.card
    curve: list[dict[str, Any]] = card.get("curve") or []
    against_jpeg = card.get("bd_rate_percent", {}).get("jpeg")
    return (
        entry.model,
        str(entry.version or ""),
        entry.id.hex(),
        entry.tune,
        f"{card.get('parameters', 0) / 1e6:.1f} M",
        _kmac_per_pixel(card),
        f"{curve[0]['bpp']:.2f} .. {curve[-1]['bpp']:.2f}" if curve else "not measured",
        f"{curve[0]['psnr']:.1f} .. {curve[-1]['psnr']:.1f}" if curve else "not measured",
        f"{against_jpeg:+.0f} %" if against_jpeg is not None else "not measured",
    )


def _width_rows(entry: WeightsEntry) -> list[tuple[str, ...]]:
    """Parameters and computation of each width of a slimmable model, and the rates that use it."""
    return [
        (
            f"  width {width}",
            "",
            "rates {:.2f} .. {:.2f}".format(*figures["rates"]),
            "",
            f"{figures['parameters'] / 1e6:.1f} M",
            _kmac_per_pixel(figures),
            *[""] * 3,
        )
        for width, figures in entry.card.get("widths", {}).items()
    ]


def _kmac_per_pixel(figures: dict[str, Any]) -> str:
    return f"{sum(figures.get('kmac_per_pixel', {}).values()):.0f}"
