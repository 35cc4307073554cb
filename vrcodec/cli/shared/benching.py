"""What `vrcodec bench` does with a request: measure, print, write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from vrcodec.bench.request import Request, is_stdout
from vrcodec.cli.main import EXIT_INTERRUPTED
from vrcodec.cli.shared import options, output
from vrcodec.cli.shared.paths import Destination
from vrcodec.errors import UsageError

if TYPE_CHECKING:
    from vrcodec.bench.results import Results
    from vrcodec.bench.runner import Outcome, Plan
    from vrcodec.bench.showcase import Showcase

_SHOWN_PICTURES = 3


def run_benchmark(request: Request) -> int:
    """Measure, report, and return the exit code. Raises VrcError."""
    from vrcodec.bench.comparison import check_anchor
    from vrcodec.bench.curves import read_curves
    from vrcodec.bench.request import context, make_plan
    from vrcodec.bench.results import gather
    from vrcodec.bench.runner import run

    for path in request.files():
        Destination(path, request.force).check()
    published = [curve for path in request.published for curve in read_curves(path)]
    plan = make_plan(request, output.say)
    check_anchor(request.anchor, [*(c.name for c in plan.codecs), *(c.name for c in published)])
    _check_shown(request, plan)
    with output.progress_bar(len(plan.paths) * len(plan.codecs)) as step:

        def advance(word: str) -> None:
            output.say(word, output.VERBOSE)
            step()

        outcome = run(plan, advance)
    results = gather(plan, outcome, published, request.anchor, context(request, plan))
    for problem in outcome.problems:
        output.error(problem)
    if not results.curves:
        output.error("nothing was measured")
    else:
        _write(request, plan, outcome, results)
    if outcome.interrupted:
        output.error(f"interrupted; {_count(results)} complete; --resume goes on")
        return EXIT_INTERRUPTED
    return 1 if outcome.problems or not results.curves else 0


def _write(request: Request, plan: Plan, outcome: Outcome, results: Results) -> None:
    from vrcodec.bench.results import as_csv

    if request.json_path:
        _put(request, request.json_path, json.dumps(results.document(), indent=1, allow_nan=False))
    if request.csv_path:
        _put(request, request.csv_path, as_csv(outcome, plan.metrics))
    if not is_stdout(request.json_path) and not is_stdout(request.csv_path):
        _print(results, plan)
    if request.plot_path:
        from vrcodec.bench.plot import plot

        suffix = request.plot_path.suffix.lower().lstrip(".")
        place = Destination(request.plot_path, request.force)
        place.write(plot(results.curves, plan.metrics, suffix))
    if request.report_path:
        from vrcodec.bench.report import report

        page = report(results, plan.metrics, _showcases(request, plan, results))
        Destination(request.report_path, request.force).write(page.encode())


def _put(request: Request, path: Path, text: str) -> None:
    if is_stdout(path):
        output.echo(text.rstrip("\n"))
    else:
        Destination(path, request.force).write((text.rstrip("\n") + "\n").encode())


def _print(results: Results, plan: Plan) -> None:
    from vrcodec.bench.summary import codec_table, cost_table, curve_table, verdicts

    for curve in results.own:
        output.echo(f"{curve.title}: {curve.description}")
        output.print_table(*curve_table(curve, plan.metrics))
        output.echo()
    output.print_table(*codec_table(results, plan.metrics))
    output.echo()
    output.print_table(*cost_table(results))
    output.echo()
    for curve in results.curves:
        if curve not in results.own:
            output.echo(f"{curve.title}: {curve.description}")
    output.echo(f"Means over {_count(results)}, from real files; {_conditions(plan)}.")
    if results.anchor:
        output.echo(
            f"BD-rate: bits at equal quality against {results.anchor.title}, negative is fewer; PCHIP "
            "(Akima), over the common range of quality."
        )
    for sentence in verdicts(results):
        output.echo(sentence)


def _count(results: Results) -> str:
    count = len(results.pictures)
    return "1 picture" if count == 1 else f"{count} pictures"


def _conditions(plan: Plan) -> str:
    threads = f"{plan.threads} CPU thread{'s' if plan.threads > 1 else ''}"
    return threads if plan.jobs == 1 else f"{plan.jobs} jobs at once with {threads} each"


def _check_shown(request: Request, plan: Plan) -> None:
    for name in request.show:
        if name not in plan.paths:
            raise UsageError(f"--show {name}: no such picture; there are: {', '.join(plan.paths)}")


def _showcases(request: Request, plan: Plan, results: Results) -> list[Showcase]:
    from vrcodec.bench.showcase import showcase
    from vrcodec.picture.reading import open_colours

    found = []
    measured = [info.name for info in results.pictures]
    for name in request.show or measured[:_SHOWN_PICTURES]:
        if name not in measured:
            continue
        picture = open_colours(plan.paths[name], limits=request.limits)
        found.append(showcase(name, picture, plan.codecs))
    return found


def run_profile(request: Request) -> int:
    """Show where the time of the first picture goes; returns the exit code. Raises VrcError."""
    from vrcodec.bench.codecs import choose_families
    from vrcodec.bench.profile import profile
    from vrcodec.picture.folders import find_pictures
    from vrcodec.picture.reading import open_colours

    options.set_threads(request.threads)
    path = find_pictures(request.paths)[0]
    picture = open_colours(path, limits=request.limits)
    rate = request.rates[0] if request.rates else 0.5
    for family in choose_families(request.models, (rate,), "rate", request.engine()):
        found = profile(family.family, picture, rate, request.engine())
        output.echo(f"{family.family}, {path}, {picture.width}x{picture.height}, rate {rate:g}")
        for title, stages in (
            ("once", found.start),
            ("encode", found.encode),
            ("decode", found.decode),
        ):
            total = sum(stages.values())
            rows = [
                [name, f"{1e3 * seconds:.1f}", f"{100 * seconds / total:.0f} %"]
                for name, seconds in stages.items()
            ]
            output.print_table([title, "ms", "share"], [*rows, ["sum", f"{1e3 * total:.1f}", ""]])
            output.echo()
    return 0
