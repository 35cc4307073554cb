"""The run of `vrcodec bench`: measure, print tables, write results."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING

from vrcodec.bench.request import Request, is_stdout
from vrcodec.cli.shared import options, output
from vrcodec.cli.shared.paths import Destination, is_special, refuse_same_file
from vrcodec.cli.shared.signals import EXIT_INTERRUPTED
from vrcodec.errors import UsageError, VrcError

if TYPE_CHECKING:
    from vrcodec.bench.results import Results
    from vrcodec.bench.runner import Outcome, Plan
    from vrcodec.bench.showcase import Showcase

_SHOWN_PICTURES = 3


def run_benchmark(request: Request) -> int:
    """Measure, report, and return the exit code. Raises VrcError."""
    from vrcodec.bench.comparison import check_anchor
    from vrcodec.bench.curves import read_published
    from vrcodec.bench.request import collect_provenance, make_plan
    from vrcodec.bench.results import gather_results
    from vrcodec.bench.runner import run_plan

    _check_files(request)
    plan = make_plan(request, output.say)
    published = read_published(request.published, plan.codecs)
    check_anchor(request.anchor, [*(c.name for c in plan.codecs), *(c.name for c in published)])
    _check_shown_pictures(request, plan)
    with output.progress_bar(len(plan.paths) * len(plan.codecs)) as step:

        def advance(message: str) -> None:
            output.say(message, output.VERBOSE)
            step()

        outcome = run_plan(plan, advance)
    results = gather_results(
        plan, outcome, published, request.anchor, collect_provenance(request, plan)
    )
    for problem in outcome.problems:
        output.error(problem)
    unwritten = 0
    if not results.curves:
        output.error("nothing was measured")
    else:
        unwritten = _write_results(request, plan, outcome, results)
    if outcome.interrupted:
        output.error(f"interrupted; {_count_pictures(results)} complete; --resume goes on")
        return EXIT_INTERRUPTED
    return unwritten or (1 if outcome.problems or not results.curves else 0)


def _check_files(request: Request) -> None:
    """Refuse results that cannot be written, or would overwrite each other, a picture, or published curves."""
    from vrcodec.picture.folders import find_pictures

    inputs = [*find_pictures(request.paths), *request.published]
    real = [os.path.realpath(path) for path in request.files() if not is_special(path)]
    for path in request.files():
        Destination(path, request.force).check()
        for other in inputs:
            refuse_same_file(path, str(other))
        if real.count(os.path.realpath(path)) > 1:
            raise UsageError(f"{path}: two results would be written to this file")


def _write_results(request: Request, plan: Plan, outcome: Outcome, results: Results) -> int:
    """The files first: they must not be lost where stdout is closed or full, nor the rest with one of them.

    Returns the exit code of one that cannot be written, else 0.
    """
    shown, code = None, 0
    for path, text in _render_texts(request, plan, outcome, results):
        if is_stdout(path):
            shown = text
        else:
            # Names of pictures need not be UTF-8.
            data = (text + "\n").encode(errors="backslashreplace")
            code = _write_file(path, data, request) or code
    if request.plot_path:
        from vrcodec.bench.curve_plot import plot_curves

        suffix = request.plot_path.suffix.lower().lstrip(".")
        data = plot_curves(results.curves, plan.metrics, suffix)
        code = _write_file(request.plot_path, data, request) or code
    if shown is None:
        _print_results(results, plan)
    else:
        output.echo(shown)
    return code


def _write_file(path: Path, data: bytes, request: Request) -> int:
    """Returns 0, or the exit code of the error, which is shown."""
    try:
        Destination(path, request.force).write(data)
    except VrcError as error:
        return output.report(error)
    return 0


def _render_texts(
    request: Request, plan: Plan, outcome: Outcome, results: Results
) -> Iterator[tuple[Path, str]]:
    """Each result that is text, without the end of its last line, and where it goes; one by one, as a report
    takes long.
    """
    from vrcodec.bench.results import as_csv

    if request.json_path:
        yield request.json_path, json.dumps(results.document(), indent=1, allow_nan=False)
    if request.csv_path:
        yield request.csv_path, as_csv(outcome, plan.metrics).rstrip("\n")
    if request.report_path:
        from vrcodec.bench.report import render_report

        showcases = _make_showcases(request, plan, outcome, results)
        yield request.report_path, render_report(results, plan.metrics, showcases).rstrip("\n")


def _echo(line: str) -> None:
    """A line on stdout; names of pictures and of published curves have anything."""
    output.echo(output.make_visible(line))


def _print_results(results: Results, plan: Plan) -> None:
    from vrcodec.bench.summary import codec_table, cost_table, curve_table, summarise

    for curve in results.our_curves:
        _echo(f"{curve.title}: {curve.description}")
        output.print_table(*curve_table(curve, plan.metrics))
        output.echo()
    output.print_table(*codec_table(results, plan.metrics))
    output.echo()
    output.print_table(*cost_table(results))
    output.echo()
    for curve in results.curves:
        if curve not in results.our_curves:
            _echo(f"{curve.title}: {curve.description}")
    output.echo(
        f"Means over {_count_pictures(results)}, from real files; {_describe_workers(plan)}."
    )
    if results.anchor:
        _echo(
            f"BD-rate: bits at equal quality against {results.anchor.title}, negative is fewer; PCHIP "
            "(Akima), over the common range of quality."
        )
    for sentence in summarise(results):
        _echo(sentence)


def _count_pictures(results: Results) -> str:
    count = len(results.pictures)
    return "1 picture" if count == 1 else f"{count} pictures"


def _describe_workers(plan: Plan) -> str:
    threads = f"{plan.threads} CPU thread{'s' if plan.threads > 1 else ''}"
    return threads if plan.jobs == 1 else f"{plan.jobs} jobs at once with {threads} each"


def _check_shown_pictures(request: Request, plan: Plan) -> None:
    for name in request.show:
        if name not in plan.paths:
            raise UsageError(f"--show {name}: no such picture; there are: {', '.join(plan.paths)}")


def _make_showcases(
    request: Request, plan: Plan, outcome: Outcome, results: Results
) -> list[Showcase]:
    """Of pictures that can still be read; one that cannot is a problem more."""
    from vrcodec.bench.showcase import make_showcase
    from vrcodec.picture.reading import open_colours

    showcases = []
    measured = [info.name for info in results.pictures]
    for name in request.show or measured[:_SHOWN_PICTURES]:
        if name not in measured:
            continue
        try:
            picture = open_colours(plan.paths[name], limits=request.limits)
            showcases.append(make_showcase(name, picture, plan.codecs))
        except VrcError as error:
            outcome.problems.append(str(error))
            output.report(error)
    return showcases


def run_profile(request: Request) -> int:
    """Show where the time of the first picture goes; returns the exit code. Raises VrcError."""
    from vrcodec.bench.codecs import choose_families
    from vrcodec.bench.profile import profile_picture
    from vrcodec.picture.folders import find_pictures
    from vrcodec.picture.reading import open_colours

    options.set_threads(request.threads)
    path = find_pictures(request.paths)[0]
    picture = open_colours(path, limits=request.limits)
    rate = request.rates[0] if request.rates else 0.5
    for family in choose_families(request.models, (rate,), "rate", request.engine()):
        profile = profile_picture(family.family, picture, rate, request.engine())
        _echo(f"{family.family}, {path}, {picture.width}x{picture.height}, rate {rate:g}")
        for title, stages in (
            ("once", profile.start),
            ("encode", profile.encode),
            ("decode", profile.decode),
        ):
            total = sum(stages.values())
            rows = [
                [name, f"{1e3 * seconds:.1f}", f"{100 * seconds / total:.0f} %"]
                for name, seconds in stages.items()
            ]
            output.print_table([title, "ms", "share"], [*rows, ["sum", f"{1e3 * total:.1f}", ""]])
            output.echo()
    return 0


def run_map_comparison(request: Request) -> int:
    """Show what maps bring that are not the same everywhere; returns the exit code. Raises VrcError."""
    from vrcodec.bench.map_comparison import RATES, compare_maps
    from vrcodec.codec import Decoder, Encoder
    from vrcodec.picture.folders import find_pictures
    from vrcodec.picture.reading import open_colours

    options.set_threads(request.threads)
    paths = find_pictures(request.paths)[: _SHOWN_PICTURES if request.quick else None]
    pictures = [open_colours(path, limits=request.limits) for path in paths]
    columns = ["rate", "bpp", "bpp with map", "weighted PSNR, dB", "with map, dB"]
    forms = ("{:g}", "{:.3f}", "{:.3f}", "{:.2f}", "{:.2f}")
    for model in _choose_map_models(request):
        encoder, decoder = Encoder(model, request.engine()), Decoder(request.engine())
        for result in compare_maps(encoder, decoder, pictures, request.rates or RATES):
            saved = "" if result.bd_rate is None else f", BD-rate {result.bd_rate:+.1f} %"
            _echo(f"{model}, {result.shape}{saved}")
            rows = [
                [form.format(value) for form, value in zip(forms, astuple(point), strict=True)]
                for point in result.points
            ]
            output.print_table(columns, rows)
            output.echo()
    return 0


def _choose_map_models(request: Request) -> list[str]:
    """The models that were named; ``all`` is those that take maps. Raises UsageError where none does."""
    from vrcodec.bench.codecs import choose_families
    from vrcodec.models import FAMILIES

    families = choose_families(request.models, (), "rate", request.engine())
    takers = [name for name, model in FAMILIES.items() if model.takes_quality_map]
    chosen = [
        family.family
        for family in families
        if family.family in request.models or family.entry.family in takers
    ]
    if not chosen:
        raise UsageError("no model that is installed takes quality maps; qmap does")
    return chosen
