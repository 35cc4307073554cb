"""Rate-distortion curves, in the columns of CompressAI's results files."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vrcodec.bench.bdrate import BdRate, bd_rate
from vrcodec.bench.codecs import OUR_PREFIX, Codec
from vrcodec.bench.measure import Cost, Sample
from vrcodec.bench.runner import Outcome, PictureInfo, free_name
from vrcodec.errors import InputError
from vrcodec.metrics import METRICS

Columns = dict[str, list[float]]

# CompressAI has called its columns by both names: first ours, then theirs since version 1.2.
ALIASES = {"psnr": "psnr-rgb", "ms-ssim": "ms-ssim-rgb"}


@dataclass(frozen=True)
class Curve:
    """A codec's curve. ``columns``: means over the pictures; ``pictures``: the columns of each picture.

    ``details``: speed, memory and stages of a measured codec. Empty for published curves. ``scale``: what the
    settings among the columns are.
    """

    name: str
    title: str
    description: str
    columns: Columns
    pictures: dict[str, Columns] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    scale: str = "setting"

    @property
    def is_ours(self) -> bool:
        """Whether it is of one of our families, measured in this run."""
        return self.measured and self.title.startswith(OUR_PREFIX)

    @property
    def measured(self) -> bool:
        """Whether it was measured in this run, rather than read from a file."""
        return bool(self.pictures)


def build_curve(codec: Codec, outcome: Outcome) -> Curve | None:
    """The curve of a measured codec over the pictures that all codecs have; None without any."""
    infos = outcome.complete_pictures()
    samples = {info.name: outcome.samples[codec.name][info.name] for info in infos}
    settings = _common_settings(samples.values())
    if not settings:
        return None
    compared = {
        name: [s for s in picture_samples if s.setting in settings]
        for name, picture_samples in samples.items()
    }
    pictures = {info.name: _columns(compared[info.name], info) for info in infos}
    return Curve(
        codec.name,
        codec.title,
        codec.settings,
        _mean_columns(pictures),
        pictures,
        _details(compared, infos),
        codec.scale,
    )


def _common_settings(samples: Any) -> set[float]:
    settings = [{sample.setting for sample in picture_samples} for picture_samples in samples]
    return set.intersection(*settings) if settings else set()


def _columns(samples: Sequence[Sample], info: PictureInfo) -> Columns:
    columns: Columns = {
        "setting": [s.setting for s in samples],
        "bpp": [8 * s.bytes / info.pixels for s in samples],
    }
    for name in samples[0].quality:
        values = [s.quality[name] for s in samples]
        known = [v for v in values if v is not None]
        if len(known) < len(values):
            continue
        columns[name] = known
    columns["encoding_time"] = [s.encode.seconds for s in samples]
    columns["decoding_time"] = [s.decode.seconds for s in samples]
    return _with_decibels(columns)


def _mean_columns(pictures: Mapping[str, Columns]) -> Columns:
    """Means of the columns that all pictures have.

    Decibels of MS-SSIM are those of its mean, as in published curves.
    """
    tables = list(pictures.values())
    names = [name for name in tables[0] if all(name in table for table in tables)]
    means = {
        name: [math.fsum(v) / len(v) for v in zip(*(t[name] for t in tables), strict=True)]
        for name in names
    }
    return _with_decibels(means)


def _with_decibels(columns: Columns) -> Columns:
    """Add columns in dB for the metrics that are compared in dB."""
    in_decibels = {
        quality_column(name): [metric.scale(v) for v in columns[name]]
        for name, metric in METRICS.items()
        if name in columns
    }
    return {**columns, **in_decibels}


def _details(
    samples: Mapping[str, Sequence[Sample]], infos: Sequence[PictureInfo]
) -> dict[str, Any]:
    every = [sample for picture_samples in samples.values() for sample in picture_samples]
    pixels = sum(info.pixels * len(samples[info.name]) for info in infos)
    return {
        "encode": _mean_cost([s.encode for s in every], pixels),
        "decode": _mean_cost([s.decode for s in every], pixels),
    }


def _mean_cost(costs: Sequence[Cost], pixels: int) -> dict[str, Any]:
    seconds = math.fsum(c.seconds for c in costs)
    stages: dict[str, float] = {}
    for cost in costs:
        for name, duration in cost.stages.items():
            stages[name] = stages.get(name, 0.0) + duration
    known = [c.mib for c in costs if c.mib is not None]
    return {
        "megapixels_per_second": pixels / 1e6 / seconds,
        "seconds": seconds / len(costs),
        "stages": {name: total / len(costs) for name, total in stages.items()},
        "peak_memory_mib": max(known) if known else None,
    }


def quality_column(metric: str) -> str:
    """The column on which curves are compared by ``metric``."""
    return metric if METRICS[metric].scale is float else f"{metric}-db"


def compare_columns(anchor: Columns, test: Columns, metric: str) -> BdRate | None:
    """BD-rate of ``test`` against ``anchor``; None without the metric, or a common range of quality."""
    column = quality_column(metric)
    if column not in anchor or column not in test:
        return None
    return bd_rate(anchor["bpp"], anchor[column], test["bpp"], test[column])


def explain_lack(anchor: Columns, test: Columns, metric: str) -> str:
    """Why two curves have no BD-rate, in words for a cell of a table."""
    column = quality_column(metric)
    if column not in anchor or column not in test:
        return "no figures"
    if min(len(set(columns[column])) for columns in (anchor, test)) < 2:
        return "too few points"
    return "no overlap"


def read_published(paths: Sequence[Path], codecs: Sequence[Codec]) -> list[Curve]:
    """The curves of results files, to lay beside those of ``codecs``.

    One whose name another curve has already is called by its file, too: BD-rates are kept by these names.

    Raises InputError.
    """
    taken = {name for codec in codecs for name in (codec.name, codec.title)}
    curves = []
    for path in paths:
        for curve in read_curves(path):
            name = free_name(taken, curve.name, f"{curve.name}, {path}")
            taken.add(name)
            curves.append(replace(curve, name=name, title=name))
    return curves


def read_curves(path: Path) -> list[Curve]:
    """Curves of a results file in CompressAI's shape, or of one that `vrcodec bench --json` wrote.

    Raises InputError.
    """
    try:
        document = json.loads(path.read_bytes())
        if "curves" in document:
            # An earlier run of ours: its curves may be called like those of this one.
            return [
                _published_curve(c, f"{c['name']} ({path.stem})", path) for c in document["curves"]
            ]
        return [_published_curve(document, str(document.get("name") or path.stem), path)]
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        OverflowError,
        RecursionError,
    ) as error:
        raise InputError(f"{path}: not a results file in CompressAI's shape: {error}") from error


def _published_curve(part: Mapping[str, Any], title: str, path: Path) -> Curve:
    columns = {
        str(name): [float(v) for v in values]
        for name, values in part["results"].items()
        if isinstance(values, list) and all(map(_is_figure, values))
    }
    for name, alias in ALIASES.items():
        if alias in columns:
            columns.setdefault(name, columns.pop(alias))
    length = len(columns.get("bpp", ()))
    if not length or "psnr" not in columns or any(len(c) != length for c in columns.values()):
        raise ValueError("needs bpp and psnr, all of them numbers, and columns of one length")
    description = str(part.get("description") or f"from {path.name}")
    return Curve(title, title, description, _with_decibels(columns))


def _is_figure(value: Any) -> bool:
    """Whether it can be in a column; Python reads NaN and Infinity, which no JSON of ours can have."""
    return isinstance(value, int | float) and math.isfinite(value)
