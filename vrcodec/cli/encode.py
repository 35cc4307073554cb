"""`vrcodec encode`"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vrcodec.batch.inputs import ENCODE_SUFFIXES
from vrcodec.catalog import DEFAULT_MODEL
from vrcodec.cli.shared import options, output, signals
from vrcodec.cli.shared.encode_options import make_encode_job
from vrcodec.cli.shared.encode_work import EncodeWork, check_one_at_a_time
from vrcodec.cli.shared.many_files import ManyFilesRequest, ManyOptions, many_options, run_many
from vrcodec.cli.shared.option_groups import (
    MANY_FILES,
    MESSAGES,
    OUTPUT,
    RUNNING,
    GroupedCommand,
    option_group,
)
from vrcodec.cli.shared.paths import choose_destinations
from vrcodec.errors import UsageError
from vrcodec.picture.intake.read_options import METADATA_KINDS, parse_strip
from vrcodec.rate import BACKGROUND_LEVEL, DEFAULT_RATE, MAX_FEATHER, REGION_LEVEL
from vrcodec.refinement.effort import MAX_EFFORT, SearchMonitor

if TYPE_CHECKING:
    from vrcodec.maps.regions import RegionWords

# Field of a result -> how it is shown.
_QUALITIES = {
    "psnr": "PSNR {:.3f} dB",
    "ssim": "MS-SSIM {:.5f}",
    "ssimulacra2": "SSIMULACRA 2 {:.2f}",
}


def _parse_strip(
    ctx: click.Context, parameter: click.Parameter, given: tuple[str, ...]
) -> frozenset[str]:
    try:
        return parse_strip(given)
    except UsageError as error:
        raise click.BadParameter(str(error), ctx, parameter) from None


def _parse_regions(
    ctx: click.Context, parameter: click.Parameter, given: tuple[str, ...]
) -> tuple[RegionWords, ...]:
    if not given:
        return ()
    from vrcodec.maps.regions import RegionWords

    try:
        return tuple(map(RegionWords.parse, given))
    except UsageError as error:
        raise click.BadParameter(str(error), ctx, parameter) from None


_HELP = """Compress pictures to .vrc files.

PICTURE is a file of any size (PNG, JPEG, PPM, BMP, GIF, TIFF, WebP, AVIF), or - for stdin. Alpha and
metadata are kept; what cannot be kept is refused. Of a folder, all pictures below it are taken.
"""


@click.command(cls=GroupedCommand, help=_HELP)
@options.inputs_argument("PICTURE...", required=False)
@option_group(
    "Quality and targets",
    click.option(
        "-r",
        "--rate",
        type=click.FloatRange(0, 1),
        help=f"0 = smallest file, 1 = best picture, continuous.  [default: {DEFAULT_RATE}]",
    ),
    click.option(
        "--bpp", type=click.FloatRange(min=0, min_open=True), help="At most so many bits a pixel."
    ),
    click.option(
        "--size", type=options.ByteSize(), help="At most this file size: 40000, 40kB, 39KiB."
    ),
    click.option("--psnr", type=float, help="The smallest file with at least so many dB."),
    click.option(
        "--ssim", type=float, help="The smallest file with at least this MS-SSIM, such as 0.98."
    ),
    click.option(
        "--ssimulacra2",
        type=float,
        metavar="SCORE",
        help="The smallest file with at least this SSIMULACRA 2 score, such as 70.",
    ),
    click.option(
        "--strict",
        is_flag=True,
        help="Write nothing when no rate meets the target, instead of the nearest file there is.",
    ),
    click.option(
        "--model",
        default=DEFAULT_MODEL,
        show_default=True,
        shell_complete=options.complete_model,
        help="Model family, or the name of an imported network; see `vrcodec models`.",
    ),
    options.tune_option,
    click.option(
        "--lossless",
        type=click.Choice(("auto", "never", "always")),
        help="Store without loss: the picture, or text and line art in it, where that is no larger (auto); "
        "nothing but bilevel pictures (never); every picture (always).  [default: auto]",
    ),
    click.option("--lossless-fallback", is_flag=True, help="The same as --lossless auto."),
)
@option_group(
    "Of single models",
    click.option(
        "--qmap",
        "map_file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="Quality map: a grey picture (white is 1) or .npy of levels in [0, 1], stretched over the "
        "picture. With a rate or a target, its mean level is moved there. Needs --model qmap.",
    ),
    click.option(
        "--roi",
        "regions",
        multiple=True,
        metavar="WHERE[:Q]",
        callback=_parse_regions,
        shell_complete=options.complete_files,
        help=f"Region of interest, and its level Q [{REGION_LEVEL}]; may be given again. WHERE, in pixels of "
        "the upright picture: a box X,Y,W,H; a polygon X,Y,X,Y,X,Y...; FILE.json, annotations in COCO's "
        "format, or FILE.json#WHAT, those of a category or id; FILE.png, a mask; FILE.png#WHAT, of a picture "
        "of labels an index or a colour such as ff0000.",
    ),
    click.option(
        "--roi-background",
        type=click.FloatRange(0, 1),
        help=f"The level outside of regions.  [default: {BACKGROUND_LEVEL}]",
    ),
    click.option(
        "--roi-feather",
        type=click.FloatRange(0, MAX_FEATHER),
        metavar="PIXELS",
        help="Over so many pixels around regions their level goes over into the background's.  [default: 0]",
    ),
    click.option(
        "--width",
        type=click.IntRange(1, 65535),
        help="slim only: channels of the networks, in place of those that the rate has chosen; the rate then "
        "runs over what that width can do. See `vrcodec models` for the widths there are.",
    ),
    click.option(
        "--max-width",
        type=click.IntRange(1, 65535),
        help="slim only: the rate chooses a width of so many channels at most, for a small decoder.",
    ),
    click.option(
        "--max-kmac",
        type=click.FloatRange(min=0, min_open=True),
        metavar="KMAC",
        help="slim only: the same, a width that takes so many thousand multiplications a pixel to decode at "
        "most, such as 8.",
    ),
    click.option(
        "--bin-size",
        type=float,
        help="Expert, qvrf and imported networks only: the quantisation step, 1/64 .. 64, also beyond what any "
        "rate has.",
    ),
)
@option_group(
    "Search for fewer bits",
    click.option(
        "--effort",
        "level",
        type=click.IntRange(0, MAX_EFFORT),
        help="Search for the picture's best latents: 0 (none) to 9 (minutes), each level twice as long as the "
        "one before. The file is smaller or better for it, and decodes as fast as ever.  [default: 0]",
    ),
    click.option(
        "--time-budget",
        "seconds",
        type=click.FloatRange(min=0, min_open=True),
        metavar="SECONDS",
        help="Search for so long a picture, instead of a level of effort.",
    ),
    click.option(
        "--keep-partial",
        is_flag=True,
        help="On Ctrl-C, write the best that the search has found so far, instead of nothing.",
    ),
)
@option_group(
    "What is kept of a picture",
    click.option(
        "--strip",
        multiple=True,
        metavar="[all|icc|exif|xmp]",
        callback=_parse_strip,
        shell_complete=options.complete_names("all", *METADATA_KINDS),
        help="Encode without these metadata, which are kept otherwise. Several: with commas, or given again.",
    ),
    options.icc_option,
    click.option(
        "--reduce-depth",
        is_flag=True,
        help="Round samples of more than 8 bits to 8; such pictures are refused otherwise.",
    ),
    options.frame_option,
)
@option_group(
    OUTPUT,
    options.output_option,
    options.force_option,
    click.option(
        "--verify",
        is_flag=True,
        help="Decode the result and compare, before anything is written; exit code 5 when they differ.",
    ),
    options.json_option,
)
@option_group(
    MANY_FILES,
    many_options,
)
@option_group(
    RUNNING,
    options.device_option,
    options.threads_option,
    options.engine_option,
    options.precision_option,
    options.memory_option,
    options.limits_option,
)
@option_group(
    MESSAGES,
    options.verbosity_options,
)
def command(
    inputs: tuple[str, ...],
    target: str | None,
    force: bool,
    as_json: bool,
    many: ManyOptions,
    **given: Any,
) -> int:
    """Run the command."""
    if many.needs_workers(inputs, target):
        encode_work = EncodeWork.from_options(given)
        return run_many(
            ManyFilesRequest(
                inputs,
                target,
                force,
                as_json,
                many,
                encode_work,
                ".vrc",
                ENCODE_SUFFIXES,
                "encoded",
            )
        )
    destinations = choose_destinations(inputs, target, ".vrc", force)
    job = make_encode_job(**given)
    job.single = len(inputs) == 1
    if not job.single:
        check_one_at_a_time(job)

    def work(name: str) -> dict[str, Any]:
        """Encode and write one input; returns the fields for --json."""
        destination = destinations[name]
        destination.check()
        result = job.encode(name)
        destination.write(result.pop("data"))
        result["output"] = str(destination)
        _print_result(result)
        return result

    # --keep-partial is for one picture: what was found of it is written, and told, before the end.
    with _interruptible_search(job.monitor):
        exit_code, results = output.for_each(inputs, work, parts=job.effort.searches)
        if as_json:
            output.print_json(results, err=any(d.path is None for d in destinations.values()))
    return exit_code


@contextmanager
def _interruptible_search(monitor: SearchMonitor) -> Iterator[None]:
    """With --keep-partial, a signal ends the search of the body behind its step, and is raised in the end."""
    if not monitor.keep_partial:
        yield
        return
    with signals.as_requests(twice_ends=True) as stop:

        def on_progress(share: float) -> None:
            output.part_done(share)
            if stop():
                raise KeyboardInterrupt

        monitor.on_progress = on_progress
        yield


def _print_result(result: dict[str, Any]) -> None:
    sizes = "{output}: {width}x{height}, {bytes} bytes, {bpp:.4f} bpp, "
    rate = "lossless" if result["lossless"] else "rate {rate:.4f}"
    if result["bin_size"] is not None:
        rate += ", with bins of size {bin_size:.5g}"
    if result["network_width"] is not None:
        rate += " of width {network_width}"
    if result["lossless_cell_bytes"] is not None:
        rate += ", graphics lossless"
    output.say((sizes + rate).format(**result))
    for kind, form in _QUALITIES.items():
        if kind in result:
            output.say(form.format(result[kind]))
    output.say("{model}, {seconds} s".format(**result), output.VERBOSE)
