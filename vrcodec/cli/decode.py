"""`vrcodec decode`"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from vrcodec.batch.inputs import DECODE_SUFFIXES
from vrcodec.cli.shared import options, output
from vrcodec.cli.shared.decode_work import DecodeWork
from vrcodec.cli.shared.decoding import DecodeJob, check_pattern, make_lazy_decoder, parse_region
from vrcodec.cli.shared.many_files import ManyFilesRequest, ManyOptions, many_options, run_many
from vrcodec.cli.shared.option_groups import (
    MANY_FILES,
    MESSAGES,
    OUTPUT,
    RUNNING,
    GroupedCommand,
    option_group,
)
from vrcodec.cli.shared.paths import (
    STDIO,
    Destination,
    choose_destinations,
    is_special,
    open_vrc_source,
)
from vrcodec.engine import Engine
from vrcodec.errors import UsageError
from vrcodec.limits import Limits
from vrcodec.picture.output_formats import FORMATS, SUFFIXES, OutputFormat, WriteOptions
from vrcodec.regions.region import SCALES, Rectangle
from vrcodec.regions.tiling import Tiling


def _parse_rectangle(
    ctx: click.Context, parameter: click.Parameter, value: str | None
) -> Rectangle | None:
    return None if value is None else Rectangle.parse(value)


_HELP = """Decompress .vrc files to pictures.

FILE is a .vrc file, or - for stdin. Of a folder, all .vrc files below it are taken.
"""


@click.command(cls=GroupedCommand, help=_HELP)
@options.inputs_argument("FILE...", required=False)
@option_group(
    "What to decode",
    click.option(
        "--crop",
        metavar="X,Y,W,H",
        callback=_parse_rectangle,
        help="Decode this rectangle only, in pixels of the whole picture. Of a file, only the blocks that it "
        "needs are read.",
    ),
    click.option(
        "--scale",
        type=click.Choice([f"1/{scale}" for scale in SCALES if scale > 1]),
        help="A preview: the mean of so many pixels in each direction. Takes less memory, but hardly less "
        "time.",
    ),
    click.option(
        "--levels",
        type=click.IntRange(min=1),
        help="Decode the first so many levels only, of a file that has levels (model qarv).",
    ),
    click.option(
        "--progressive",
        "pattern",
        metavar="PATTERN",
        help="Write the picture after each level of a single FILE, from the first that shows something on; "
        "PATTERN is a name with %d or %02d in it, for the number of the level.",
    ),
    click.option(
        "--partial",
        is_flag=True,
        help="Decode the complete levels of a file that ends early, with a warning.",
    ),
)
@option_group(
    OUTPUT,
    options.output_option,
    options.force_option,
    click.option(
        "--format",
        "output_format",
        type=click.Choice(tuple(FORMATS)),
        help="Format of the picture. Default: from the output's name, else png.",
    ),
    click.option(
        "--quality",
        type=click.IntRange(1, 100),
        help="Of jpeg, webp and avif.  [default: 95; of webp 100, which is without loss]",
    ),
    click.option(
        "--flatten",
        is_flag=True,
        help="Lay a transparent picture on white, and convert its colours to sRGB where the format has no "
        "place for its ICC profile. Without this, such pictures are refused by formats that cannot hold them.",
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
    options.fetch_option,
)
@option_group(
    MESSAGES,
    options.verbosity_options,
)
def command(
    inputs: tuple[str, ...],
    target: str | None,
    force: bool,
    output_format: OutputFormat | None,
    quality: int | None,
    flatten: bool,
    crop: Rectangle | None,
    scale: str | None,
    levels: int | None,
    pattern: str | None,
    partial: bool,
    device: str,
    threads: int | None,
    library: str,
    precision: str,
    tiling: Tiling,
    limits: Limits,
    fetch: bool | None,
    as_json: bool,
    many: ManyOptions,
) -> int:
    """Run the command."""
    region = parse_region(crop, scale)
    engine = Engine(device, precision, tiling, library, single=len(inputs) == 1, fetch=fetch)
    if pattern is not None:
        _check_progressive(inputs, many, target, levels, pattern)
    elif many.needs_workers(inputs, target):
        writing = WriteOptions(output_format or "png", quality, flatten)
        decode_work = DecodeWork(engine, threads or 1, limits, writing, region, levels, partial)
        return run_many(
            ManyFilesRequest(
                inputs,
                target,
                force,
                as_json,
                many,
                decode_work,
                writing.suffix,
                DECODE_SUFFIXES,
                "decoded",
            )
        )
    writing = WriteOptions(output_format or _choose_format(pattern or target), quality, flatten)
    get_decoder = make_lazy_decoder(engine, threads, limits)
    destinations: dict[str, Destination] = {}
    if pattern is None:
        destinations = choose_destinations(inputs, target, writing.suffix, force)

    def work(name: str) -> list[dict[str, Any]]:
        if pattern is None:
            destinations[name].check()
        with open_vrc_source(name, whole=crop is None) as source:
            job = DecodeJob(get_decoder, name, source, writing, region, partial)
            if pattern is not None:
                return job.write_levels(pattern, force)
            return [job.write(destinations[name], levels)]

    code, results = output.for_each(inputs, work)
    if as_json:
        flat = [result for per_file in results for result in per_file]
        output.print_json(flat, err=any(d.path is None for d in destinations.values()))
    return code


def _check_progressive(
    inputs: tuple[str, ...],
    many: ManyOptions,
    target: str | None,
    levels: int | None,
    pattern: str,
) -> None:
    if many.needs_workers(inputs, None):
        raise UsageError(
            "--progressive takes a single file, and none of --files-from, --jobs, --resume, --log"
        )
    if target is not None or levels is not None:
        raise UsageError("--progressive stands in place of -o and --levels")
    check_pattern(pattern)


def _choose_format(target: str | None) -> OutputFormat:
    if target is None or target == STDIO or os.path.isdir(target):
        return "png"
    suffix = Path(target).suffix.lower()
    if suffix and suffix not in SUFFIXES and not is_special(Path(target)):
        known = ", ".join(SUFFIXES)
        raise UsageError(f"{target}: cannot write {suffix}; use {known}, or name a --format")
    return SUFFIXES.get(suffix, "png")
