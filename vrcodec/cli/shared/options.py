"""Every flag that more than one command has.

-o/--output  -f/--force  --device  --threads  --engine  --precision  --memory  --max-pixels  --tune  --fetch
--json  -q/--quiet  -v/--verbose
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import click

from vrcodec.batch.storage import without_file_scheme
from vrcodec.bitstream.schema import METHODS
from vrcodec.catalog import DEFAULT_TUNE, installed_weights
from vrcodec.cli.shared import output
from vrcodec.limits import DEFAULT_LIMITS, Limits
from vrcodec.picture.intake.read_options import IccChoice
from vrcodec.refinement.effort import Tune
from vrcodec.regions.tiling import Tiling

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

Function = TypeVar("Function", bound=Callable[..., Any])
Completer = Callable[[click.Context, click.Parameter, str], list[str]]


def complete_from(*values: str) -> Completer:
    """Shell completion for a parameter that also takes other values, or is checked later."""

    def complete(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
        return [value for value in values if value.startswith(incomplete)]

    return complete


def complete_names(*names: str) -> Completer:
    """Shell completion for names that are separated by commas."""

    def complete(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        return [f"{before}{comma}{name}" for name in names if name.startswith(last)]

    return complete


def complete_files(
    ctx: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Shell completion for a file, where a URL or something else may be given, too."""
    # Of no use to a command that runs, and click itself loads it no sooner.
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="file")]


def complete_model(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Shell completion for a family, or the name of a network of one's own."""
    names = {*METHODS.values(), *(entry.model for entry in installed_weights())}
    return [name for name in sorted(names) if name.startswith(incomplete)]


_UNITS = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3, "ki": 1024, "mi": 1024**2, "gi": 1024**3}


class ByteSize(click.ParamType):  # type: ignore[type-arg]
    """A number of bytes with an optional unit: 40000, 40kB, 39KiB, 1.5MB, 2GB."""

    name = "bytes"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """Parse ``value``; click reports what does not fit."""
        match = re.fullmatch(r"(\d+(?:\.\d+)?) ?(|[kmg]i?)b?", str(value).lower())
        if not match:
            self.fail(f"{value!r} is not a size such as 40000, 40kB, 39KiB or 1.5MB", param, ctx)
        size = float(match[1]) * _UNITS[match[2]]
        if not math.isfinite(size):
            self.fail("no file or memory has so many bytes", param, ctx)
        return size


class FiniteRange(click.FloatRange):
    """A range of numbers; "nan", which is in any, and "inf" are none of them."""

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """Parse ``value``; click reports what does not fit."""
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number", param, ctx)
        return number


class LocationType(click.Path):
    """A path, also as file://, a URL, or - for stdin or stdout."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Parse ``value``."""
        return super().convert(without_file_scheme(value), param, ctx)


# One that cannot be read must not keep others from being so.
_LOCATION = LocationType(allow_dash=True, readable=False)


def inputs_argument(metavar: str, *, required: bool = True) -> Callable[[Function], Function]:
    """Input files, or - for stdin; at least one, if ``required``."""
    return click.argument("inputs", nargs=-1, required=required, metavar=metavar, type=_LOCATION)


output_option = click.option(
    "-o",
    "--output",
    "target",
    metavar="PATH",
    type=_LOCATION,
    help="Output file, a folder for several inputs, or - for stdout. Default: the input's name with "
    "another suffix; stdout when the input is stdin.",
)
force_option = click.option("-f", "--force", is_flag=True, help="Overwrite the output.")
device_option = click.option(
    "--device",
    default="auto",
    show_default=True,
    metavar="auto|cpu|cuda[:N]",
    shell_complete=complete_from("auto", "cpu", "cuda"),
    help="Where networks run. Any device decodes what any other encoded.",
)
threads_option = click.option(
    "--threads", type=click.IntRange(min=1), help="CPU threads. Default: all cores."
)
precision_option = click.option(
    "--precision",
    type=click.Choice(["auto", "float32", "bfloat16"]),
    default="auto",
    show_default=True,
    help="Arithmetic of analysis and synthesis. Changes pixels by a rounding step at most, not "
    "whether a file decodes.",
)
icc_option = click.option(
    "--icc",
    type=click.Choice(get_args(IccChoice)),
    default="keep",
    show_default=True,
    help="The colour profile: keep it, convert the colours to sRGB, or leave it out.",
)
frame_option = click.option(
    "--frame",
    type=click.IntRange(min=0),
    metavar="N",
    help="Which picture of an animation or of several pages, counted from 0.",
)


engine_option = click.option(
    "--engine",
    "library",
    type=click.Choice(["auto", "numpy", "torch"]),
    default="auto",
    show_default=True,
    help="What computes: NumPy, which is everywhere, or PyTorch, which is faster and has CUDA. Any reads what "
    "any other made. auto: as VRCODEC_ENGINE says, else torch where it is installed and worth the second that "
    "loading it takes; -v says why.",
)


def _parse_tiling(ctx: click.Context, parameter: click.Parameter, value: float | None) -> Tiling:
    return Tiling(None if value is None else int(value))


memory_option = click.option(
    "--memory",
    "tiling",
    type=ByteSize(),
    metavar="SIZE",
    callback=_parse_tiling,
    help="About how much memory the networks may take, such as 2GB, beside the pixels: large pictures are "
    "computed in tiles. It is the same file whatever the tiles are, by NumPy up to rounding.  "
    "[default: what is fastest]",
)
tune_option = click.option(
    "--tune",
    type=click.Choice(get_args(Tune)),
    help="What to aim at: by weights that are tuned for it, where the model has such, and by the search of "
    f"efforts above 0 (msssim by that alone).  [default: {DEFAULT_TUNE}, with a target of PSNR psnr]",
)
fetch_option = click.option(
    "--fetch",
    is_flag=True,
    default=None,
    help="Get weights that a file needs from the hub, where they are missing (see `vrcodec weights fetch`); so "
    "does VRCODEC_FETCH=1.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print results as JSON.")


def _parse_limits(ctx: click.Context, parameter: click.Parameter, value: int) -> Limits:
    return Limits(max_pixels=value)


limits_option = click.option(
    "--max-pixels",
    "limits",
    type=click.IntRange(min=1),
    default=DEFAULT_LIMITS.max_pixels,
    show_default=True,
    callback=_parse_limits,
    help="Refuse pictures with more pixels than this.",
)


def _set_quiet(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        output.set_verbosity(output.QUIET)


def _set_verbose(ctx: click.Context, parameter: click.Parameter, value: int) -> None:
    if value:
        output.set_verbosity(value)


def verbosity_options(function: Function) -> Function:
    """The flags -q and -v, which set the verbosity and are not passed to the command."""
    for option in (
        click.option(
            "-v",
            "--verbose",
            count=True,
            expose_value=False,
            is_eager=True,
            callback=_set_verbose,
            help="Say more; -vv shows where an error came from.",
        ),
        click.option(
            "-q",
            "--quiet",
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=_set_quiet,
            help="Say nothing but errors.",
        ),
    ):
        function = option(function)
    return function


def set_threads(threads: int | None) -> None:
    """Set the threads of networks, where --threads is given."""
    if threads:
        from vrcodec.models.backends import set_threads as set_network_threads

        set_network_threads(threads)
