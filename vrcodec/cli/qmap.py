"""`vrcodec qmap`"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vrcodec.cli.shared import options, output
from vrcodec.cli.shared.option_groups import MESSAGES, OUTPUT, RUNNING, GroupedCommand, option_group
from vrcodec.cli.shared.paths import (
    Destination,
    display_name,
    prefix_errors,
    read_picture_file,
    refuse_same_file,
)
from vrcodec.errors import UsageError
from vrcodec.limits import Limits

if TYPE_CHECKING:
    from vrcodec.maps.levels import Levels
    from vrcodec.picture.picture import Picture


_HELP = """Make a quality map for PICTURE, to encode it with --model qmap --qmap MAP."""


@click.command(cls=GroupedCommand, help=_HELP)
@click.argument("picture", type=options.LocationType(allow_dash=True))
@option_group(
    "The map",
    click.option(
        "--for",
        "purpose",
        required=True,
        type=click.Choice(["saliency", "text", "uniform", "gradient", "task"]),
        help="What the map should favour: what catches the eye, small writing, nothing, the right side, or a "
        "task.",
    ),
    click.option(
        "--low",
        type=options.FiniteRange(0, 1),
        default=0.2,
        show_default=True,
        help="Lowest level.",
    ),
    click.option(
        "--high",
        type=options.FiniteRange(0, 1),
        default=0.8,
        show_default=True,
        help="Highest level.",
    ),
    click.option(
        "--task",
        metavar="MODULE:CALLABLE",
        help="Its loss: a function of the decoded and the original picture, tensors (1, 3, H, W) in [0, 1].",
    ),
    click.option(
        "--steps", type=click.IntRange(min=1), default=50, show_default=True, help="Of the descent."
    ),
    click.option(
        "--price",
        type=options.FiniteRange(min=0),
        default=1.0,
        show_default=True,
        help="What a bit per pixel costs, in the task's loss.",
    ),
)
@option_group(
    OUTPUT,
    click.option(
        "-o",
        "--output",
        "target",
        required=True,
        type=click.Path(dir_okay=False, path_type=Path),
        help="A grey .png, or .npy.",
    ),
    options.force_option,
)
@option_group(
    RUNNING,
    options.device_option,
    options.threads_option,
    options.limits_option,
)
@option_group(
    MESSAGES,
    options.verbosity_options,
)
def command(
    picture: str,
    purpose: str,
    target: Path,
    low: float,
    high: float,
    task: str | None,
    steps: int,
    price: float,
    force: bool,
    device: str,
    threads: int | None,
    limits: Limits,
) -> int:
    """Run the command."""
    if (purpose == "task") != (task is not None):
        raise UsageError("--for task and --task MODULE:CALLABLE go together")
    from vrcodec.maps.levels import build_map_file, check_map_suffix
    from vrcodec.picture.reading import read_colours

    if low > high:
        raise UsageError("--low is above --high")
    destination = Destination(target, force)
    destination.check()
    refuse_same_file(target, picture)
    check_map_suffix(target)
    source = io.BytesIO(read_picture_file(picture))
    subject = read_colours(source, display_name(picture), limits=limits)
    options.set_threads(threads)
    with prefix_errors(picture):
        if task is not None:
            levels = _task_levels(subject, task, steps, price, device)
        else:
            levels = low + (high - low) * _generate_map(subject, purpose)
    destination.write(build_map_file(levels, target))
    return 0


def _generate_map(picture: Picture, purpose: str) -> Levels:
    """A map (H, W) from 0, the lowest level, to 1, the highest."""
    import numpy as np

    from vrcodec.maps import generation

    if purpose == "uniform":
        return np.full((picture.height, picture.width), 0.5)
    if purpose == "gradient":
        return generation.ramp_map(picture.width, picture.height)
    make = generation.saliency_map if purpose == "saliency" else generation.text_map
    return make(picture.to_rgb())


def _task_levels(picture: Picture, name: str, steps: int, price: float, device: str) -> Levels:
    from vrcodec.bitstream.quality_map import COARSE_STRIDE
    from vrcodec.catalog import find_by_family
    from vrcodec.extras import require
    from vrcodec.maps.generation import load_task
    from vrcodec.maps.levels import levels_per_pixel

    require("torch", "torch", "a map for a task")
    from vrcodec.maps.tasks import task_map

    # As `python -m` would: modules of the working folder can be named.
    sys.path.insert(0, "")
    task = load_task(name)

    def show(loss: float, bpp: float) -> None:
        output.say(f"task {loss:.4f}, {bpp:.4f} bpp", output.VERBOSE)

    entry = find_by_family("qmap")
    levels = task_map(
        entry, picture.pixels, task, steps=steps, price=price, device=device, step_done=show
    )
    return levels_per_pixel(levels, picture.width, picture.height, COARSE_STRIDE)
