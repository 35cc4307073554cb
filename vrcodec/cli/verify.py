"""`vrcodec verify`"""

from __future__ import annotations

from typing import Any

import click

from vrcodec.bitstream.inspection import check_structure
from vrcodec.cli.shared import options, output
from vrcodec.cli.shared.decoding import make_lazy_decoder
from vrcodec.cli.shared.option_groups import MESSAGES, OUTPUT, RUNNING, GroupedCommand, option_group
from vrcodec.cli.shared.paths import display_name, prefix_errors, read_vrc_file
from vrcodec.engine import Engine
from vrcodec.limits import Limits
from vrcodec.regions.tiling import Tiling

_HELP = """Check that .vrc files are whole: structure and checksums."""


@click.command(cls=GroupedCommand, help=_HELP)
@options.inputs_argument("FILE...")
@option_group(
    "What is checked",
    click.option(
        "--full", is_flag=True, help="Decode, too: checks the symbols, needs the weights."
    ),
)
@option_group(OUTPUT, options.json_option)
@option_group(
    RUNNING,
    options.device_option,
    options.threads_option,
    options.engine_option,
    options.memory_option,
    options.limits_option,
)
@option_group(MESSAGES, options.verbosity_options)
def command(
    inputs: tuple[str, ...],
    full: bool,
    device: str,
    threads: int | None,
    library: str,
    tiling: Tiling,
    limits: Limits,
    as_json: bool,
) -> int:
    """Run the command."""
    get_decoder = make_lazy_decoder(
        Engine(device, "auto", tiling, library, single=len(inputs) == 1), threads, limits
    )

    def work(name: str) -> dict[str, Any]:
        """Check one file; returns the fields for --json."""
        data = read_vrc_file(name)
        with prefix_errors(name):
            info = check_structure(data, limits)
            if full:
                get_decoder().decode(data)
        result = {"file": display_name(name), "ok": True, "decoded": full, "bytes": info.bytes}
        if not as_json:
            output.say(f"{result['file']}: ok")
        return result

    code, results = output.for_each(inputs, work, progress=full)
    if as_json:
        output.print_json(results)
    return code
