"""Rate-distortion and costs of the widths of `slim`. Writes docs/SLIM.md and its picture.

    python -m benchmarks.slim /path/to/kodak [--part curves|budgets|costs] [--pictures 4]

Every figure is of real files that were decoded again. Costs, and those of the budgets, want an idle machine.
The tables of the document are replaced; its words stay.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from benchmarks.command_costs import run_process
from benchmarks.documents import update_document
from benchmarks.timing import median_seconds, photograph
from vrcodec.bench.bdrate import bd_rate
from vrcodec.bench.kernels import use_threads
from vrcodec.bench.summary import Table, markdown
from vrcodec.bitstream.rate_setting import RateSetting
from vrcodec.catalog import find_by_family
from vrcodec.cli.shared.output import progress_bar
from vrcodec.codec import Decoder, Encoder
from vrcodec.engine import Engine
from vrcodec.metrics import psnr
from vrcodec.models.families.slim import Slim, even_schedule
from vrcodec.models.grouped_weights import GroupedWeights
from vrcodec.picture.folders import read_folder
from vrcodec.picture.picture import Picture
from vrcodec.rate import code_from_rate
from vrcodec.training.width_schedule import mean_work

DOCS = Path(__file__).parents[1] / "docs"
DOCUMENT = DOCS / "SLIM.md"
# Of the curve across the switches, of each width by itself, and of the even schedule.
CURVE_POINTS, WIDTH_POINTS, EVEN_POINTS = 101, 11, 21
BUDGET_RATES = (0.0, 0.2, 0.5, 0.8, 1.0)
COST_REPEATS = 31
_MIB = 1024**2

Coded = Callable[[Picture], tuple[int, float]]
Reals = npt.NDArray[np.float64]


@dataclass
class Curve:
    """Bits a pixel and PSNR in dB, both (points, pictures)."""

    bpp: list[list[float]] = field(default_factory=list)
    psnr: list[list[float]] = field(default_factory=list)

    def means(self) -> tuple[list[float], list[float]]:
        """Means over the pictures, for each point."""
        return np.mean(self.bpp, axis=1).tolist(), np.mean(self.psnr, axis=1).tolist()

    def bd_rate(self, anchor: Curve) -> float:
        """Per cent of bits more than ``anchor``."""
        rate = bd_rate(*anchor.means(), *self.means())
        assert rate is not None
        assert rate.pchip is not None
        return rate.pchip

    def largest_excess(self, anchor: Curve) -> float:
        """Per cent of bits more than ``anchor`` for the same PSNR, at the point where that is most."""
        bpp, quality = (np.array(v) for v in self.means())
        anchor_bpp, anchor_quality = anchor.means()
        needed = np.exp(np.interp(quality, anchor_quality, np.log(anchor_bpp)))
        covered = (quality >= anchor_quality[0]) & (quality <= anchor_quality[-1])
        return float(100 * (bpp / needed - 1)[covered].max())

    def count_regressions(self) -> tuple[int, int]:
        """Pictures whose files shrink, and whose quality falls, somewhere along the curve."""
        bytes_, quality = (np.diff(np.array(v), axis=0) for v in (self.bpp, self.psnr))
        return int((bytes_ < 0).any(axis=0).sum()), int((quality < 0).any(axis=0).sum())

    def largest_fall(self) -> float:
        """Of PSNR from one point to the next, in dB."""
        return max(0.0, -float(np.diff(np.array(self.psnr), axis=0).min()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--part", choices=["curves", "budgets", "costs"])
    parser.add_argument("--pictures", type=int, help="of the folder, evenly; by default all")
    arguments = parser.parse_args()
    blocks: dict[str, str] = {}
    pictures = list(read_folder(arguments.folder).values())
    pictures = pictures[:: len(pictures) // (arguments.pictures or len(pictures))]
    if arguments.part in (None, "curves"):
        blocks |= measure_curves(pictures)
    if arguments.part in (None, "budgets"):
        blocks |= measure_budgets(pictures)
    if arguments.part in (None, "costs"):
        blocks |= {"costs": markdown(cost_table()), "device": device_words()}
    update_document(DOCUMENT, "slim", blocks)


# --- rate and quality ---


def measure_curves(pictures: Sequence[Picture]) -> dict[str, str]:
    """The widths one by one, the schedule across them, and an even schedule."""
    encoder, decoder = Encoder("slim"), Decoder()
    model = _slim(encoder.model)
    kmac = _decoder_work()
    total = CURVE_POINTS + EVEN_POINTS + WIDTH_POINTS * len(model.size.widths)
    with progress_bar(total) as step:
        measure = partial(measure_curve, encoder, decoder, pictures, step)
        widths = {
            w: measure(RateSetting(code, width=w) for code in _rate_codes(WIDTH_POINTS))
            for w in model.size.widths
        }
        scheduled = measure(map(RateSetting, _rate_codes(CURVE_POINTS)))
        rates, work = model.scheduled_rates(), mean_work(model.schedule, kmac)
        # The decoder has a model of its own, whose schedule must be the same.
        for other in (model, *decoder._models.values()):
            _slim(other).schedule = even_schedule(model.size.reach)
        even = measure(map(RateSetting, _rate_codes(EVEN_POINTS)))
        even_rates = model.scheduled_rates()
    draw(widths, scheduled, even)
    return {
        "widths": markdown(width_table(widths)),
        "schedule": markdown(schedule_table(rates, even_rates)),
        "curve": curve_words(
            scheduled,
            even,
            widths[model.size.channels],
            (work, mean_work(model.schedule, kmac)),
        ),
        "monotone": monotone_words(scheduled, even),
    }


def _slim(model: object) -> Slim:
    assert isinstance(model, Slim)
    return model


def _decoder_work() -> dict[int, float]:
    """kMAC a pixel to decode at each width."""
    card = find_by_family("slim").card["widths"]
    return {int(width): figures["kmac_per_pixel"]["synthesis"] for width, figures in card.items()}


def _rate_codes(points: int) -> list[int]:
    return [code_from_rate(rate) for rate in np.linspace(0, 1, points)]


def measure_curve(
    encoder: Encoder,
    decoder: Decoder,
    pictures: Sequence[Picture],
    step: Callable[[], object],
    settings: Iterable[RateSetting],
) -> Curve:
    """The curve of ``pictures`` along ``settings``; ``step`` is called after each."""
    curve = Curve()
    for setting in settings:
        add_point(curve, encoder, decoder, setting, pictures)
        step()
    return curve


def add_point(
    curve: Curve,
    encoder: Encoder,
    decoder: Decoder,
    setting: RateSetting,
    pictures: Sequence[Picture],
) -> None:
    """Encode and decode ``pictures`` at ``setting``, and add the point to ``curve``."""
    rows: list[tuple[float, float]] = []
    for picture in pictures:
        data = encoder.encode(picture, setting)
        decoded = decoder.decode(data).pixels
        bpp = 8 * len(data) / (picture.width * picture.height)
        rows.append((bpp, psnr(picture.pixels, decoded)))
    for values, column in zip((curve.bpp, curve.psnr), zip(*rows, strict=True), strict=True):
        values.append(list(column))


def width_table(widths: Mapping[int, Curve]) -> Table:
    """One row a width: its ends, its middle, and what it wastes."""
    widest = widths[max(widths)]
    rows = []
    for width, curve in widths.items():
        points = list(zip(*curve.means(), strict=True))
        chosen = (points[0], points[len(points) // 2], points[-1])
        cells = [f"{bpp:.3f} bpp, {quality:.2f} dB" for bpp, quality in chosen]
        more = f"{curve.bd_rate(widest):+.1f} %" if width != max(widths) else ""
        rows.append([str(width), *cells, more])
    return ["width", "rate 0", "rate 0.5", "rate 1", "bits against the widest"], rows


def schedule_table(
    scheduled: Mapping[int, tuple[float, float]], even: Mapping[int, tuple[float, float]]
) -> Table:
    """Which rates each width has."""
    rows = [
        [str(width), *("{:.3f} .. {:.3f}".format(*rates[width]) for rates in (scheduled, even))]
        for width in scheduled
    ]
    return ["width", "rates, as found", "rates, even shares"], rows


def curve_words(scheduled: Curve, even: Curve, widest: Curve, work: tuple[float, float]) -> str:
    """The schedules against the widest network at all rates, and the ``work`` of both."""
    scheduled_words, even_words = (
        f"{curve.bd_rate(widest):.1f} % more bits at equal PSNR, {curve.largest_excess(widest):.1f} % where "
        "it is most"
        for curve in (scheduled, even)
    )
    return (
        f"Against the widest network at every rate, the schedule takes {scheduled_words}; "
        f"even shares take {even_words}. "
        f"Their work is {work[0]:.1f} and {work[1]:.1f} kMAC a pixel to decode, mean over the rate."
    )


def monotone_words(scheduled: Curve, even: Curve) -> str:
    """Sentence on the pictures whose files shrink or get worse as the rate rises."""
    pictures = len(scheduled.bpp[0])
    worse, even_worse = scheduled.count_regressions(), even.count_regressions()
    return (
        f"Over {len(scheduled.bpp)} rates from 0 to 1, the file shrinks somewhere for {worse[0]} of "
        f"{pictures} pictures, and PSNR falls for {worse[1]}, by {scheduled.largest_fall():.3f} dB at "
        f"most; with even shares, over {len(even.bpp)} rates, for {even_worse[0]} and {even_worse[1]}."
    )


def draw(widths: Mapping[int, Curve], scheduled: Curve, even: Curve) -> None:
    """All curves in one panel, and steps between neighbouring rates in another."""
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    for width, curve in widths.items():
        left.plot(*curve.means(), linewidth=1, label=f"width {width}")
    left.plot(*even.means(), "k:", linewidth=1, label="even shares")
    left.plot(*scheduled.means(), "k.", markersize=3, label="schedule, 101 rates")
    left.set_xscale("log")
    left.set_xlabel("bits per pixel")
    left.set_ylabel("PSNR, dB")
    left.legend(fontsize="small")
    steps: Reals = np.diff(np.log(np.array(scheduled.bpp)), axis=0) * 100
    rates = np.linspace(0, 1, CURVE_POINTS)[1:]
    right.plot(rates, steps, color="tab:blue", linewidth=0.4)
    right.axhline(0, color="k", linewidth=0.8)
    right.set_xlabel("rate")
    right.set_ylabel("growth of each file from the rate before, %")
    for axes in (left, right):
        axes.grid(alpha=0.3)
    figure.savefig(DOCS / "slim.svg", metadata={"Date": None})


# --- budgets ---


def measure_budgets(pictures: Sequence[Picture]) -> dict[str, str]:
    """What a limit of the width leaves and costs, and whether another width within it were better."""
    encoder, decoder = Encoder("slim"), Decoder()
    model = _slim(encoder.model)
    codes = [code_from_rate(rate) for rate in BUDGET_RATES]
    with progress_bar(len(model.size.widths) * (len(codes) + WIDTH_POINTS)) as step:
        measure = partial(measure_curve, encoder, decoder, pictures, step)
        limited = {
            w: measure(RateSetting(code, max_width=w) for code in codes) for w in model.size.widths
        }
        widths = {
            w: measure(RateSetting(code, width=w) for code in _rate_codes(WIDTH_POINTS))
            for w in model.size.widths
        }
    return {
        "budgets": markdown(budget_table(limited, model, decoding_costs(model.size.widths))),
        "choice": choice_words(limited, widths, model),
    }


@dataclass(frozen=True)
class DecodingCost:
    """Of a width: seconds with PyTorch, warm, on one thread; peak MiB of a whole command, with NumPy."""

    seconds: float
    mib: float


def decoding_costs(widths: Sequence[int]) -> dict[int, DecodingCost]:
    """What a decoder needs at each of ``widths``, for a photograph."""
    picture = photograph()
    return {
        width: DecodingCost(
            _median_times(picture, width, threads=(1,))[1],
            _peak_memory(picture, width, "numpy")[1],
        )
        for width in widths
    }


def budget_table(
    limited: Mapping[int, Curve], model: Slim, costs: Mapping[int, DecodingCost]
) -> Table:
    """One row a limit: rate and quality, and work, time and memory of a decoder."""
    kmac, rates = _decoder_work(), model.scheduled_rates()
    rows = []
    for limit, curve in limited.items():
        points = [f"{bpp:.3f} bpp, {q:.2f} dB" for bpp, q in zip(*curve.means(), strict=True)]
        shares = [(end - first, min(w, limit)) for w, (first, end) in rates.items()]
        mean_kmac = sum(share * kmac[w] for share, w in shares)
        mean_seconds = sum(share * costs[w].seconds for share, w in shares)
        cells = [
            f"{kmac[limit]:.2f}",
            f"{mean_kmac:.1f}",
            f"{1000 * costs[limit].seconds:.0f}",
            f"{1000 * mean_seconds:.0f}",
            f"{costs[limit].mib:.0f}",
        ]
        rows.append([str(limit), *cells, *points])
    columns = [
        "`--max-width`",
        "`--max-kmac`",
        "kMAC, mean",
        "decode ms, at most",
        "decode ms, mean",
        "MiB, at most",
    ]
    return [*columns, *(f"rate {rate:g}" for rate in BUDGET_RATES)], rows


def choice_words(limited: Mapping[int, Curve], widths: Mapping[int, Curve], model: Slim) -> str:
    """Sentence on the other widths within each limit, at the bytes of the one that is chosen."""
    narrower, wider = [], []
    for limit, curve in limited.items():
        for rate, bpp, quality in zip(BUDGET_RATES, *curve.means(), strict=True):
            code = code_from_rate(rate)
            chosen = model.limit_width(code, limit)[1] or model.rate_parameters(code).width
            gains = {w: _psnr_at(curve, bpp) - quality for w, curve in widths.items() if w <= limit}
            narrower += [gain for width, gain in gains.items() if width < chosen]
            wider += [gain for width, gain in gains.items() if width > chosen]
    return (
        f"At equal bits, a width narrower than the chosen one is worse by {-np.nanmax(narrower):.2f} dB at "
        f"least; a wider one within the limit is better by {np.nanmax(wider):.2f} dB at most."
    )


def _psnr_at(curve: Curve, bpp: float) -> float:
    """PSNR of a curve at ``bpp``; not a number beyond its ends."""
    bits, quality = curve.means()
    return float(np.interp(np.log(bpp), np.log(bits), quality, left=np.nan, right=np.nan))


# --- costs ---


def cost_table() -> Table:
    """One row a width: work, time, memory, and what is read of the weights file."""
    picture, card = photograph(), find_by_family("slim").card["widths"]
    rows = []
    for width, figures in card.items():
        times = [f"{seconds * 1000:.0f}" for seconds in _median_times(picture, int(width))]
        kmac = "/".join(f"{value:.1f}" for value in figures["kmac_per_pixel"].values())
        parameters = f"{figures['parameters'] / 1e6:.2f} M"
        peaks = _peak_memory(picture, int(width), "torch")
        memory = [f"{mib - _torch_memory():.0f}" for mib in peaks]
        read = f"{bytes_read(picture, int(width)) / _MIB:.2f}"
        rows.append([width, parameters, kmac, *times, *memory, read])
    columns = [
        "width",
        "parameters",
        "kMAC/pixel, encode/decode",
        "encode ms, 1 thread",
        "decode ms, 1 thread",
        "encode ms, 2 threads",
        "decode ms, 2 threads",
        "encode, MiB",
        "decode, MiB",
        "weights read to decode, MiB",
    ]
    return columns, rows


def _median_times(picture: Picture, width: int, threads: Sequence[int] = (1, 2)) -> list[float]:
    """Median seconds of encode and decode, warm, for each number of ``threads``."""
    encoder, decoder, setting = Encoder("slim"), Decoder(), RateSetting.from_rate(0.5, width=width)
    data = encoder.encode(picture, setting)
    times = []
    for count in threads:
        with use_threads(count):
            times.append(median_seconds(partial(encoder.encode, picture, setting), COST_REPEATS))
            times.append(median_seconds(partial(decoder.decode, data), COST_REPEATS))
    return times


def bytes_read(picture: Picture, width: int) -> int:
    """Bytes of tensors that a decoder takes from the weights file."""
    data = Encoder("slim").encode(picture, RateSetting.from_rate(0.5, width=width))
    sizes: dict[str, int] = {}
    read = GroupedWeights.__getitem__

    def record_read(file: GroupedWeights, name: str) -> object:
        tensor = read(file, name)
        sizes[name] = tensor.numel() * tensor.element_size()
        return tensor

    GroupedWeights.__getitem__ = record_read  # type: ignore[method-assign, assignment]
    try:
        Decoder().decode(data)
    finally:
        GroupedWeights.__getitem__ = read  # type: ignore[method-assign]
    return sum(sizes.values())


def _peak_memory(picture: Picture, width: int, library: str) -> list[float]:
    """MiB that encode and decode commands take on one thread, with NumPy or PyTorch."""
    with tempfile.TemporaryDirectory() as folder:
        ppm, vrc = Path(folder, "a.ppm"), Path(folder, "a.vrc")
        picture.to_image().save(ppm)
        encode = ["encode", str(ppm), "--model", "slim", "--width", str(width)]
        decode = ["decode", str(vrc), "-o", f"{folder}/b.ppm"]
        common = ["-q", "--threads", "1", "--engine", library]
        return [run_process("-m", "vrcodec", *a, *common)[1] for a in (encode, decode)]


def _torch_memory() -> float:
    """Peak MiB of a process that imports torch and leaves at once, as our commands do.

    Taking torch apart takes more memory than a small picture.
    """
    return run_process("-c", "import os, torch; os._exit(0)")[1]


def device_words() -> str:
    """Sentence on time and memory that a small device needs to decode at the narrowest width."""
    picture = photograph()
    width = _slim(Encoder("slim").model).size.widths[0]
    megapixels = picture.width * picture.height / 1e6
    torch_mib = _torch_memory()
    decode_mib = _peak_memory(picture, width, "torch")[1] - torch_mib
    with use_threads(1):
        data = Encoder("slim").encode(picture, RateSetting.from_rate(0.5, width=width))
        seconds = median_seconds(lambda: Decoder(Engine("cpu")).decode(data), COST_REPEATS)
        decoder = Decoder(Engine("cpu"))
        decoder.decode(data)
        warm = median_seconds(partial(decoder.decode, data), COST_REPEATS)
    return (
        f"On one thread, a decode of a picture of {megapixels:.1f} megapixels at width {width} takes "
        f"{warm * 1000:.0f} ms ({seconds * 1000:.0f} ms with the loading of its weights, of which it "
        f"reads {bytes_read(picture, width) / _MIB:.2f} MiB), and {decode_mib:.0f} MiB of memory beyond "
        f"the {torch_mib:.0f} MiB that `import torch` takes by itself."
    )


if __name__ == "__main__":
    main()
