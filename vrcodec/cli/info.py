"""`vrcodec info`"""

from __future__ import annotations

from typing import Any

import click

from vrcodec.cli import options, output
from vrcodec.cli.paths import about, display_name, read_vrc_file
from vrcodec.inspection import Info, inspect
from vrcodec.limits import Limits


@click.command()
@options.inputs_argument("FILE...")
@options.limits_option
@options.json_option
@options.verbosity_options
def command(inputs: tuple[str, ...], limits: Limits, as_json: bool) -> int:
    """Show what .vrc files say about themselves, without decoding them."""

    def work(name: str) -> dict[str, Any]:
        data = read_vrc_file(name)
        with about(name):
            found = inspect(data, limits)
        if not as_json:
            output.print_fields(_fields(name, found))
        return {"file": display_name(name), **found.as_dict()}

    code, results = output.for_each(inputs, work, progress=False)
    if as_json:
        output.print_json(results)
    return code


def _fields(name: str, info: Info) -> dict[str, str]:
    return {
        "file": display_name(name),
        "format": f"vrc {info.version}",
        "picture": f"{info.width}x{info.height} {info.mode}",
        "size": f"{info.bytes} bytes, {info.bpp:.4f} bpp",
        "model": f"{info.model}, weights {info.weights_id}",
        "rate": f"{info.rate:.4f}" + _bin_words(info.bin_size),
        "streams": f"{len(info.streams)}, {sum(info.streams)} bytes",
    }


def _bin_words(size: float | None) -> str:
    return "" if size is None else f", with bins of size {size:.5g}"
