"""`vrcodec info`"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from vrcodec.bitstream.inspection import Info, inspect
from vrcodec.catalog import find_release, installed_weights, shipped_index
from vrcodec.cli.shared import options, output
from vrcodec.cli.shared.option_groups import MESSAGES, OUTPUT, RUNNING, GroupedCommand, option_group
from vrcodec.cli.shared.paths import (
    Destination,
    display_name,
    prefix_errors,
    read_vrc_file,
    refuse_same_file,
)
from vrcodec.errors import UsageError
from vrcodec.limits import Limits

_HELP = """Show what .vrc files say about themselves, without decoding them."""


@click.command(cls=GroupedCommand, help=_HELP)
@options.inputs_argument("FILE...")
@option_group(
    OUTPUT,
    click.option(
        "--qmap-out",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Write the quality map of a single FILE as a grey picture, or as .npy.",
    ),
    options.force_option,
    options.json_option,
)
@option_group(RUNNING, options.limits_option)
@option_group(MESSAGES, options.verbosity_options)
def command(
    inputs: tuple[str, ...], qmap_out: Path | None, force: bool, limits: Limits, as_json: bool
) -> int:
    """Run the command."""
    if qmap_out and len(inputs) > 1:
        raise UsageError("--qmap-out takes a single file")
    destination = _map_destination(inputs[0], qmap_out, force) if qmap_out else None

    def work(name: str) -> dict[str, Any]:
        data = read_vrc_file(name)
        with prefix_errors(name):
            info = inspect(data, limits)
            if qmap_out and destination:
                destination.write(_build_map(data, info, limits, qmap_out))
        if not as_json:
            output.print_fields(describe_file(name, info))
        return {"file": display_name(name), **info.as_dict(), **_find_weights(info)}

    code, results = output.for_each(inputs, work, progress=False)
    if as_json:
        output.print_json(results)
    return code


def describe_file(name: str, info: Info) -> dict[str, str]:
    """Labels and values that describe the file called ``name`` to a user."""
    fields = {
        "file": display_name(name),
        "format": f"vrc {info.version}",
        "picture": f"{info.width}x{info.height} {info.mode}{_with_alpha(info)}",
        "size": f"{info.bytes} bytes, {info.bpp:.4f} bpp",
    }
    if info.rate is None:
        fields["model"] = "none: stored without loss"
    else:
        fields["model"] = f"{info.model}, weights {info.weights_id}{_describe_weights(info)}"
        fields["rate"] = f"{info.rate:.4f}" + _describe_setting(info)
    fields["streams"] = f"{len(info.streams)}, {sum(info.streams)} bytes"
    if info.levels:
        sizes = " + ".join(map(str, info.levels))
        fields["levels"] = f"{len(info.levels)}, {sizes} bytes"
    if info.cell_bytes is not None:
        fields["lossless cells"] = f"{info.cell_bytes} bytes"
    if info.alpha_bytes is not None:
        fields["alpha"] = f"{info.alpha_bytes} bytes"
    if info.metadata_bytes:
        kinds = (f"{name.upper()} {size} bytes" for name, size in info.metadata_bytes.items())
        fields["metadata"] = ", ".join(kinds)
    return fields


def _find_weights(info: Info) -> dict[str, Any]:
    """Family and generation of the weights, if this version knows them, and whether they are here."""
    if info.lossless:
        return {"weights_name": None, "weights_here": None}
    identity = bytes.fromhex(info.weights_id)
    entry = next((entry for entry in installed_weights() if entry.id == identity), None)
    known = entry or find_release(shipped_index(), identity)
    return {"weights_name": known.name if known else None, "weights_here": entry is not None}


def _describe_weights(info: Info) -> str:
    found = _find_weights(info)
    name = f" ({found['weights_name']})" if found["weights_name"] else ""
    return (
        name
        if found["weights_here"]
        else f"{name}, which are not here: vrcodec weights fetch {info.weights_id}"
    )


def _with_alpha(info: Info) -> str:
    return "" if info.alpha_bytes is None else " with alpha"


def _map_destination(name: str, target: Path, force: bool) -> Destination:
    from vrcodec.maps.levels import check_map_suffix

    check_map_suffix(target)
    refuse_same_file(target, name)
    destination = Destination(target, force)
    destination.check()
    return destination


def _build_map(data: bytes, info: Info, limits: Limits, target: Path) -> bytes:
    from vrcodec.maps.levels import build_map_file, levels_per_pixel, read_coded_levels

    return build_map_file(
        levels_per_pixel(read_coded_levels(data, limits), info.width, info.height), target
    )


def _describe_setting(info: Info) -> str:
    """The bin size, width or quality map that goes with the rate."""
    if info.bin_size is not None:
        return f", with bins of size {info.bin_size:.5g}"
    if info.network_width is not None:
        return f" of width {info.network_width}"
    if info.qmap_bytes is not None:
        return f", the mean of a quality map of {info.qmap_bytes} bytes"
    return ""
