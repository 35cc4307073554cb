"""`vrcodec view`"""

from __future__ import annotations

import contextlib
import threading
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vrcodec.bitstream.inspection import Info, inspect
from vrcodec.cli.info import describe_file
from vrcodec.cli.shared import options, output, signals
from vrcodec.cli.shared.decoding import make_lazy_decoder
from vrcodec.cli.shared.option_groups import MESSAGES, RUNNING, GroupedCommand, option_group
from vrcodec.cli.shared.paths import display_name, prefix_errors, read_vrc_file
from vrcodec.engine import Engine
from vrcodec.errors import UsageError
from vrcodec.limits import Limits
from vrcodec.picture.intake.read_options import IccChoice, ReadOptions
from vrcodec.regions.tiling import Tiling

if TYPE_CHECKING:
    from vrcodec.picture.picture import Picture
    from vrcodec.viewer.images import DecodedFile


_HELP = """Look at a .vrc file in the browser: the picture, its quality map, its levels, its header.

FILE is a .vrc file, or - for stdin. The page is served until Ctrl-C, to this machine alone, and to those
alone who know its address.
"""


@click.command(cls=GroupedCommand, help=_HELP)
@click.argument("name", metavar="FILE", type=options.LocationType(allow_dash=True))
@option_group(
    "The original, read as encode was told to",
    click.option(
        "--original",
        "original_file",
        metavar="PICTURE",
        type=options.LocationType(exists=True, dir_okay=False, path_type=Path),
        help="The picture that was encoded, to lay beside it.",
    ),
    options.icc_option,
    options.frame_option,
)
@option_group(
    "The page",
    click.option(
        "--no-browser", is_flag=True, help="Print the address of the page, and open nothing."
    ),
    click.option(
        "--port",
        type=click.IntRange(0, 65535),
        default=0,
        help="Where to listen, for tunnels.  [default: a free one]",
    ),
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
    name: str,
    original_file: Path | None,
    icc: IccChoice,
    frame: int | None,
    no_browser: bool,
    port: int,
    device: str,
    threads: int | None,
    library: str,
    precision: str,
    tiling: Tiling,
    limits: Limits,
) -> int:
    """Run the command."""
    data = read_vrc_file(name)
    with prefix_errors(name):
        info = inspect(data, limits)
    reading = ReadOptions(icc=icc, frame=frame, reduce_depth=True, limits=limits)
    # Read before the network is loaded: its size may be wrong.
    original = _read_original(original_file, reading, name, info) if original_file else None
    get_decoder = make_lazy_decoder(
        Engine(device, precision, tiling, library, single=True), threads, limits
    )
    from vrcodec.viewer.images import DecodedFile

    with prefix_errors(name):
        decoded = DecodedFile.decode(data, get_decoder(), info, limits, original)
    _serve_page(name, decoded, no_browser, port)
    return 0


def _read_original(path: Path, reading: ReadOptions, name: str, info: Info) -> Picture:
    """The picture at ``path``. Raises UsageError unless it is as large as the picture in the file ``name``."""
    from vrcodec.picture.reading import open_picture

    picture = open_picture(path, options=reading)
    if (picture.width, picture.height) != (info.width, info.height):
        raise UsageError(
            f"{click.format_filename(path)}: is {picture.width}x{picture.height}, and "
            f"{display_name(name)} {info.width}x{info.height}: it cannot be the original"
        )
    return picture


def _serve_page(name: str, decoded: DecodedFile, no_browser: bool, port: int) -> None:
    """Serve the page until Ctrl-C."""
    from vrcodec.viewer.page import build_resources
    from vrcodec.viewer.server import serve

    info = decoded.info
    fields = {**describe_file(name, info), **decoded.compare_original()}
    title = display_name(name)
    resources = build_resources(title, fields, decoded.images(), info.width, info.height)
    until_ctrl_c = contextlib.suppress(KeyboardInterrupt)
    with until_ctrl_c, signals.as_exceptions(), serve(resources, port) as address:
        output.echo(address)
        output.say("Ctrl-C ends it")
        if not no_browser and not webbrowser.open(address):
            output.say("no browser is to be found: open the address in one of yours")
        until_interrupted()


def until_interrupted() -> None:
    """Wait for Ctrl-C. Raises KeyboardInterrupt."""
    threading.Event().wait()
