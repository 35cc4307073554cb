"""The page of `benchmarks.effort`: tables of docs/EFFORT.md and its picture, from what was measured."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchmarks.documents import replace_blocks
from vrcodec.bench.summary import markdown
from vrcodec.refinement.effort import Tune

DOCS = Path(__file__).parents[1] / "docs"
DOCUMENT = DOCS / "EFFORT.md"
PLOT = DOCS / "effort.svg"
METRICS = ("psnr", "ms-ssim")
EYE_METRICS = ("ssimulacra2", "haarpsi", "psnr")
TUNES: tuple[Tune, ...] = ("psnr", "msssim")
# Of the picture whose encoding is timed.
TIMED_RATE = 0.5

Record = dict[str, Any]


def write_page(record: Record) -> None:
    """Draw the picture, and replace the tables of the document; its words stay."""
    draw(record)
    DOCUMENT.write_text(replace_blocks(DOCUMENT.read_text(), blocks(record)))


def blocks(record: Record) -> dict[str, str]:
    """The blocks of the document that ``record`` has figures for."""
    writers = {
        "curves": ("bits", bits_block),
        "seconds": ("seconds", seconds_block),
        "rivals": ("rivals", rivals_block),
        "tune": ("tune", tune_block),
        "eye": ("eye", eye_block),
    }
    shown = {block: write(record) for part, (block, write) in writers.items() if part in record}
    if PLOT.exists():
        shown["plot"] = f"![{_PLOT_DESCRIPTION}]({PLOT.name})"
    return shown


_PLOT_DESCRIPTION = (
    "Bits at equal PSNR over the seconds that a picture takes to encode. Left: each codec against its own "
    "fastest setting. Right: against JPEG 4:2:0"
)


def bits_block(record: Record) -> str:
    """One row for each family and effort."""
    rows = [
        [
            row["codec"],
            f"`{row['weights']}`",
            row["setting"].removeprefix("effort "),
            f"{row['bits']:+.2f} %",
            f"{row['bits_each']:+.2f} %",
            f"{row['bytes']:+.2f} %",
            f"{row['psnr']:+.3f} dB",
            str(row["pictures"]),
        ]
        for row in record["curves"]["rows"].values()
        if row["setting"] != "effort 0"
    ]
    head = ["family", "weights", "effort", "bits at equal PSNR", "mean of pictures"]
    table = markdown(([*head, "bytes at the same rate", "PSNR there", "pictures"], rows))
    return f"Against effort 0 on the same pictures; rates {_rates(record['curves'])}.\n\n{table}"


def _means(part: Record) -> str:
    return f"means over {part['pictures']} picture{'s' * (part['pictures'] > 1)}"


def _rates(part: Record) -> str:
    return ", ".join(f"{rate:g}" for rate in part["rates"])


def seconds_block(record: Record) -> str:
    """One row a family, one column an effort."""
    families: dict[str, dict[int, float]] = {}
    for row in record["seconds"]["rows"].values():
        if row["family"]:
            families.setdefault(row["family"], {})[row["effort"]] = row["seconds"]
    efforts = sorted({effort for times in families.values() for effort in times})
    rows = [
        [family, *(_seconds(times.get(effort)) for effort in efforts)]
        for family, times in families.items()
    ]
    table = markdown((["family", *(f"effort {effort}" for effort in efforts)], rows))
    return (
        f"Seconds to encode a 768x512 picture at rate {TIMED_RATE}; {_machine(record)}.\n\n{table}"
    )


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}" if value < 10 else f"{value:.0f}"


def _machine(record: Record) -> str:
    machine = record["seconds"]["machine"]
    threads = f"{machine['threads']} thread{'s' * (machine['threads'] > 1)}"
    device = machine.get("accelerator") or threads
    return f"{machine['cpu']}, {device}"


def rivals_block(record: Record) -> str:
    """One row for each codec and value of its own scale."""
    times = record["seconds"]["rows"]
    rows = [
        [
            row["codec"],
            row["setting"],
            f"{row['bits']:+.2f} %",
            f"{row['bits_against_jpeg']:+.1f} %",
            _seconds(times[name]["seconds"] if name in times else None),
        ]
        for name, row in record["rivals"]["rows"].items()
    ]
    head = ["codec", "setting", "bits against its fastest", "bits against JPEG 4:2:0", "s"]
    words = f"At equal PSNR; {_means(record['rivals'])}; {_machine(record)}."
    return f"{words}\n\n{markdown((head, rows))}"


def tune_block(record: Record) -> str:
    """One row for each quality that the search aims at."""
    part = record["tune"]
    titles = dict(zip(TUNES, ("PSNR", "MS-SSIM"), strict=True))
    rows = [
        [titles[tune], *(f"{row[metric]:+.2f} %" for metric in METRICS)]
        for tune, row in part["rows"].items()
    ]
    head = ["aimed at", "bits at equal PSNR", "bits at equal MS-SSIM"]
    words = (
        f"`{part['family']}`, weights `{part['weights']}`, effort {part['effort']} against effort 0; "
        f"{_means(part)} and rates {_rates(part)}."
    )
    return f"{words}\n\n{markdown((head, rows))}"


def eye_block(record: Record) -> str:
    """One row a family."""
    part = record["eye"]
    rows = [
        [family, f"`{row['weights']}`", *(f"{row[metric]:+.2f} %" for metric in EYE_METRICS)]
        for family, row in part["rows"].items()
    ]
    titles = (f"bits at equal {name}" for name in ("SSIMULACRA 2", "HaarPSI", "PSNR"))
    words = f"Effort {part['effort']} against effort 0; {_means(part)} and rates {_rates(part)}."
    return f"{words}\n\n{markdown((['family', 'weights', *titles], rows))}"


def draw(record: Record) -> None:
    """Plot bits over seconds, for all settings that have both."""
    figure = Figure(figsize=(11, 4.8), layout="constrained")
    panels = {"bits": "its own fastest setting", "bits_against_jpeg": "JPEG 4:2:0"}
    for axes, (key, words) in zip(figure.subplots(1, 2), panels.items(), strict=True):
        for number, (codec, (style, points)) in enumerate(plot_lines(record, key)):
            seconds, bits, settings = zip(*points, strict=True)
            axes.plot(seconds, bits, style, label=codec, color=f"C{number}", markersize=3)
            for end in (0, -1):
                value, point = settings[end].split()[1], (seconds[end], bits[end])
                axes.annotate(value, point, (3, 3), textcoords="offset points", fontsize=6)
        axes.set_xscale("log")
        axes.set_xlabel("seconds to encode a 768x512 picture")
        axes.set_ylabel(f"bits at equal PSNR, against {words}, %")
        axes.grid(alpha=0.3)
    legend = figure.axes[0].get_legend_handles_labels()
    figure.legend(*legend, loc="outside lower center", ncols=4, fontsize="small")
    figure.savefig(PLOT, metadata={"Date": None})


def plot_lines(
    record: Record, key: str
) -> Iterator[tuple[str, tuple[str, list[tuple[float, float, str]]]]]:
    """Codec, style, and (seconds, bits, setting) in order: ours solid, rivals dashed."""
    times = record.get("seconds", {}).get("rows", {})
    fastest: dict[str, float] = {}
    for part, style in (("curves", "o-"), ("rivals", "s--")):
        codecs: dict[str, list[tuple[float, float, str]]] = {}
        for name, row in record.get(part, {}).get("rows", {}).items():
            if name not in times:
                continue
            bits = row["bits"]
            if key == "bits_against_jpeg":
                # Of the fastest setting, which all pictures have; the others may be of fewer.
                base = fastest.setdefault(row["codec"], row[key])
                bits = 100 * ((1 + base / 100) * (1 + bits / 100) - 1)
            points = codecs.setdefault(row["codec"], [])
            points.append((times[name]["seconds"], bits, row["setting"]))
        yield from ((codec, (style, points)) for codec, points in codecs.items())
