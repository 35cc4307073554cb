"""The report of a benchmark: one HTML file with scripts, styles and pictures inside."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from vrcodec import web
from vrcodec.bench.curves import quality_column
from vrcodec.bench.results import Results
from vrcodec.bench.showcase import Showcase
from vrcodec.bench.summary import (
    Table,
    codec_table,
    cost_table,
    curve_table,
    picture_table,
    summarise,
)
from vrcodec.metrics import METRICS


def render_report(results: Results, metrics: Sequence[str], shown: Sequence[Showcase]) -> str:
    """The report as HTML; ``shown``: pictures to compare by eye."""
    from plotly.offline import get_plotlyjs

    parts = {
        "STYLE": web.read_shared(web.STYLE) + web.read_resource(__package__, "report.css"),
        "PLOTLY": get_plotlyjs(),
        "SCRIPT": web.read_shared(web.SCRIPT) + web.read_resource(__package__, "report.js"),
        "DATA": web.script_json(_chart_data(results, metrics, shown)),
        "VERDICTS": "".join(f"<p>{html.escape(s)}</p>" for s in summarise(results)),
        "CODECS": _html_table(codec_table(results, metrics)),
        "COSTS": _html_table(cost_table(results)),
        "PICTURES": _html_table(picture_table(results, "psnr")),
        "CURVES": "".join(
            f"<h3>{html.escape(curve.title)}</h3>" + _html_table(curve_table(curve, metrics))
            for curve in results.our_curves
        ),
        "CONTEXT": _html_notes(results),
    }
    return web.fill_template(web.read_resource(__package__, "report.html"), parts)


def _chart_data(
    results: Results, metrics: Sequence[str], shown: Sequence[Showcase]
) -> dict[str, Any]:
    return {
        "metrics": [{"column": quality_column(m), "title": METRICS[m].title} for m in metrics],
        "curves": [
            {
                "title": curve.title,
                "measured": curve.measured,
                "columns": curve.columns,
                "pictures": curve.pictures,
            }
            for curve in results.curves
        ],
        "pictures": [info.name for info in results.pictures],
        "shown": [asdict(showcase) for showcase in shown],
    }


def _html_table(table: Table) -> str:
    head, rows = table
    cells = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    opening = '<div class="wide" tabindex="0" role="region" aria-label="Table">'
    return f"{opening}<table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table></div>"


def _html_notes(results: Results) -> str:
    notes = [
        f"{len(results.pictures)} pictures: {', '.join(info.name for info in results.pictures)}.",
        *(f"{c.title}: {c.description}." for c in results.curves),
        *(f"{name}: {json.dumps(value)}" for name, value in results.provenance.items()),
        *(f"Problem: {problem}" for problem in results.problems),
    ]
    if results.interrupted:
        notes.append("Interrupted: results of what was finished.")
    return "".join(f"<li>{html.escape(note)}</li>" for note in notes)
