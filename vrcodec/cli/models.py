"""`vrcodec models`"""

from __future__ import annotations

from collections.abc import Callable
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
    return (
        entry.model,
        str(entry.version or ""),
        entry.id.hex(),
        entry.tune,
        _parameters(card),
        _kmac_per_pixel(card),
        _measured(lambda: "{:.2f} .. {:.2f}".format(*_ends(card, "bpp"))),
        _measured(lambda: "{:.1f} .. {:.1f}".format(*_ends(card, "psnr"))),
        _measured(lambda: f"{card['bd_rate_percent']['jpeg']:+.0f} %"),
    )


def _measured(words: Callable[[], str]) -> str:
    """What a card says. Anybody can write cards: one that says something else must not hide the others."""
    try:
        return words()
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        return "not measured"


def _ends(card: dict[str, Any], figure: str) -> tuple[float, float]:
    curve = card["curve"]
    return curve[0][figure], curve[-1][figure]


def _width_rows(entry: WeightsEntry) -> list[tuple[str, ...]]:
    """Parameters and computation of each width of a slimmable model, and the rates that use it."""
    return [
        (
            f"  width {width}",
            "",
            _rates(figures),
            "",
            _parameters(figures),
            _kmac_per_pixel(figures),
            *[""] * 3,
        )
        for width, figures in _widths(entry.card)
    ]


def _widths(card: dict[str, Any]) -> list[tuple[str, Any]]:
    widths = card.get("widths")
    return list(widths.items()) if isinstance(widths, dict) else []


# Of a card, or of one of its widths.


def _rates(figures: Any) -> str:
    return _measured(lambda: "rates {:.2f} .. {:.2f}".format(*figures["rates"]))


def _parameters(figures: Any) -> str:
    return _measured(lambda: f"{figures['parameters'] / 1e6:.1f} M")


def _kmac_per_pixel(figures: Any) -> str:
    return _measured(lambda: f"{sum(figures['kmac_per_pixel'].values()):.0f}")
