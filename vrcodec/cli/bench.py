"""`vrcodec bench`"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, get_args

import click

from vrcodec.bench.request import DEFAULT_METRICS, DEFAULT_RIVALS, Request
from vrcodec.bitstream.schema import METHODS
from vrcodec.catalog import DEFAULT_MODEL
from vrcodec.cli.shared import options, signals
from vrcodec.cli.shared.option_groups import MESSAGES, RUNNING, GroupedCommand, option_group
from vrcodec.refinement.effort import Tune

_MAX_POINTS = 1000


class Numbers(click.ParamType):  # type: ignore[type-arg]
    """0:1:0.1 (first, last, step; the last included) or 0.1,0.5,1."""

    name = "numbers"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[float, ...]:
        """Parse ``value``; click reports what does not fit."""
        if isinstance(value, tuple):
            return value
        try:
            numbers = _numbers(str(value))
        except (ValueError, ZeroDivisionError, OverflowError):
            self.fail(
                f"{value!r} is neither FIRST:LAST:STEP nor a list such as 0.1,0.5,1", param, ctx
            )
        return tuple(sorted(set(numbers)))


def _numbers(text: str) -> list[float]:
    if ":" not in text:
        numbers = [float(part) for part in text.split(",")]
        if not all(map(math.isfinite, numbers)):
            raise ValueError
        return numbers
    first, last, step = (float(part) for part in text.split(":"))
    count = (last - first) / step
    if not 0 <= count < _MAX_POINTS:
        raise ValueError
    # Past the last by less than a step's rounding.
    return [round(first + i * step, 9) for i in range(int(count + 1e-9) + 1)]


class Names(click.ParamType):  # type: ignore[type-arg]
    """Names, separated by commas."""

    name = "names"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, ...]:
        """Split ``value``."""
        if isinstance(value, tuple):
            return value
        return tuple(part.strip() for part in str(value).split(",") if part.strip())


def _complete_rivals(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    from vrcodec.bench.rivals import GROUPS, RIVALS

    names = (*RIVALS, *GROUPS, "all", "none")
    return options.complete_names(*names)(ctx, parameter, incomplete)


_result = click.Path(dir_okay=False, path_type=Path, allow_dash=True)
_file = click.Path(dir_okay=False, path_type=Path)


_HELP = """Measure models and other codecs on the pictures of folders: size, quality, speed, memory.

Pictures are taken without their metadata. One that cannot be read is reported and left out (exit code
1). Ctrl-C reports what was finished; --resume goes on from there.
"""


@click.command(cls=GroupedCommand, help=_HELP)
@click.argument(
    "paths",
    nargs=-1,
    required=True,
    metavar="PATH...",
    type=options.LocationType(exists=True, path_type=Path),
)
@option_group(
    "What is measured",
    click.option(
        "--models",
        type=Names(),
        default=DEFAULT_MODEL,
        show_default=True,
        shell_complete=options.complete_names(*METHODS.values(), "all"),
        help="Families, or all.",
    ),
    click.option(
        "--rates",
        type=Numbers(),
        help="Rates to measure: FIRST:LAST:STEP or a list.  [default: 0:1:0.125]",
    ),
    click.option("--bpps", type=Numbers(), help="Bits per pixel to aim at, instead of rates."),
    click.option(
        "--efforts",
        type=Numbers(),
        default="0",
        show_default=True,
        help="Efforts of our encoder, 0 to 9, each a curve; above 0, JPEG XL and AVIF follow suit.",
    ),
    click.option(
        "--tune",
        "tunes",
        type=Names(),
        default="",
        shell_complete=options.complete_names(*get_args(Tune)),
        help="What our encoder aims at, each a curve: psnr, ssimulacra2; with efforts above 0 also msssim.  "
        "[default: what each family's weights do]",
    ),
    click.option(
        "--metrics",
        type=Names(),
        default=",".join(DEFAULT_METRICS),
        show_default=True,
        shell_complete=options.complete_names(*DEFAULT_METRICS),
        help="psnr, ms-ssim, ssimulacra2, haarpsi.",
    ),
    click.option("--quick", is_flag=True, help="Few pictures and points: a look in a minute."),
    click.option(
        "--profile", is_flag=True, help="Show where the time of one picture goes, and nothing else."
    ),
    click.option(
        "--maps",
        is_flag=True,
        help="Show what quality maps save at equal weighted PSNR, for models that take them, and nothing else.",
    ),
)
@option_group(
    "What it is compared with",
    click.option(
        "--rivals",
        type=Names(),
        default=",".join(DEFAULT_RIVALS),
        show_default=True,
        shell_complete=_complete_rivals,
        help="jpeg420, jpeg444, mozjpeg (jpeg: all three), webp, avif, avif420, avif-psnr, avif-ssimulacra2, "
        "jxl, jp2k; all; none.",
    ),
    click.option(
        "--compare",
        "published",
        multiple=True,
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="Results in CompressAI's format, or of an earlier --json, to lay beside; may be given again.",
    ),
    click.option(
        "--anchor",
        metavar="CURVE",
        help="Compare with this one.  [default: the first that is not ours]",
    ),
)
@option_group(
    "Results",
    click.option(
        "--json",
        "json_path",
        metavar="FILE",
        type=_result,
        help="Write results as JSON; - is stdout.",
    ),
    click.option(
        "--csv",
        "csv_path",
        metavar="FILE",
        type=_result,
        help="Write every sample as CSV; - is stdout.",
    ),
    click.option(
        "--report",
        "report_path",
        metavar="FILE",
        type=_file,
        help="Write an HTML report to look at.",
    ),
    click.option(
        "--show",
        multiple=True,
        metavar="PICTURE",
        help="Picture to lay over each other in the report; may be given again.  [default: the first three]",
    ),
    click.option(
        "--plot",
        "plot_path",
        metavar="FILE",
        type=_file,
        help="Draw the curves: .png, .svg or .pdf.",
    ),
    options.force_option,
)
@option_group(
    RUNNING,
    click.option(
        "--jobs",
        type=click.IntRange(min=1),
        default=1,
        show_default=True,
        help="Processes. With more than one, times are those of a busy machine.",
    ),
    click.option("--resume", is_flag=True, help="Take what an earlier run has measured already."),
    click.option(
        "--cache",
        type=click.Path(file_okay=False, path_type=Path),
        help="Folder where results are kept for --resume.  [default: vrcodec/bench in the user's cache]",
    ),
    options.device_option,
    options.engine_option,
    options.precision_option,
    options.threads_option,
    options.limits_option,
)
@option_group(
    MESSAGES,
    options.verbosity_options,
)
def command(**given: Any) -> int:
    """Run the command."""
    request = Request(**given)
    request.check()
    from vrcodec.cli.shared.bench_run import run_benchmark, run_map_comparison, run_profile

    with signals.as_exceptions():
        if request.maps:
            return run_map_comparison(request)
        return run_profile(request) if request.profile else run_benchmark(request)
