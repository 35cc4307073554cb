"""`vrcodec decode`"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vrcodec.cli import options, output
from vrcodec.cli.decoding import lazy_decoder
from vrcodec.cli.paths import (
    STANDARD,
    Destination,
    about,
    destinations,
    display_name,
    is_special,
    read_vrc_file,
)
from vrcodec.errors import UsageError
from vrcodec.limits import Limits

if TYPE_CHECKING:
    from vrcodec.cli.decoding import Decode
    from vrcodec.picture import OutputFormat

FORMATS = ("png", "ppm", "npy")


@click.command()
@options.inputs_argument("FILE...")
@options.output_option
@options.force_option
@click.option(
    "--format",
    "output_format",
    type=click.Choice(FORMATS),
    help="Format of the picture. Default: from the output's name, else png.",
)
@options.device_option
@options.threads_option
@options.precision_option
@options.limits_option
@options.json_option
@options.verbosity_options
def command(
    inputs: tuple[str, ...],
    target: str | None,
    force: bool,
    output_format: OutputFormat | None,
    device: str,
    threads: int | None,
    precision: str,
    limits: Limits,
    as_json: bool,
) -> int:
    """Decompress .vrc files to pictures.

    FILE is a .vrc file, or - for stdin.
    """
    chosen = output_format or _format_of(target)
    places = destinations(inputs, target, f".{chosen}", force)
    decode = lazy_decoder(device, precision, threads, limits)

    def work(name: str) -> dict[str, Any]:
        place = places[name]
        place.check()
        result = _decode_one(decode, name, chosen, place)
        output.say("{output}: {width}x{height} {mode}".format(**result))
        output.say("decoded in {seconds} s".format(**result), output.VERBOSE)
        return result

    code, results = output.for_each(inputs, work)
    if as_json:
        output.print_json(results, err=any(p.path is None for p in places.values()))
    return code


def _format_of(target: str | None) -> OutputFormat:
    if target is None or target == STANDARD or Path(target).is_dir():
        return "png"
    from vrcodec.picture import SUFFIXES

    suffix = Path(target).suffix.lower()
    if suffix and suffix not in SUFFIXES and not is_special(Path(target)):
        known = ", ".join(SUFFIXES)
        raise UsageError(f"{target}: cannot write {suffix}; use {known}, or name a --format")
    return SUFFIXES.get(suffix, "png")


def _decode_one(
    decode: Decode, name: str, output_format: OutputFormat, place: Destination
) -> dict[str, Any]:
    data = read_vrc_file(name)
    start = time.perf_counter()
    with about(name):
        picture = decode(data)
    seconds = round(time.perf_counter() - start, 4)
    from vrcodec.picture import serialise_picture

    place.write(serialise_picture(picture, output_format))
    return {
        "input": display_name(name),
        "output": str(place),
        "width": picture.width,
        "height": picture.height,
        "mode": picture.mode,
        "seconds": seconds,
    }
