"""`vrcodec info`"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from vrcodec.bitstream.inspection import Info, inspect
from vrcodec.cli.shared import options, output
from vrcodec.cli.shared.paths import Destination, about, display_name, read_vrc_file
from vrcodec.errors import UsageError
from vrcodec.limits import Limits


@click.command()
@options.inputs_argument("FILE...")
@click.option(
    "--qmap-out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the quality map of a single FILE as a grey picture, or as .npy.",
)
@options.force_option
@options.limits_option
@options.json_option
@options.verbosity_options
def command(
    inputs: tuple[str, ...], qmap_out: Path | None, force: bool, limits: Limits, as_json: bool
) -> int:
    """Show what .vrc files say about themselves, without decoding them."""
    if qmap_out and len(inputs) > 1:
        raise UsageError("--qmap-out takes a single file")
    place = _map_place(qmap_out, force) if qmap_out else None

    def work(name: str) -> dict[str, Any]:
        data = read_vrc_file(name)
        with about(name):
            found = inspect(data, limits)
            if qmap_out and place:
                place.write(_packed_map(data, found, limits, qmap_out))
        if not as_json:
            output.print_fields(fields_of(name, found))
        return {"file": display_name(name), **found.as_dict()}

    code, results = output.for_each(inputs, work, progress=False)
    if as_json:
        output.print_json(results)
    return code


def fields_of(name: str, info: Info) -> dict[str, str]:
    """What there is to say of the file called ``name``, for people."""
    fields = {
        "file": display_name(name),
        "format": f"vrc {info.version}",
        "picture": f"{info.width}x{info.height} {info.mode}{_with_alpha(info)}",
        "size": f"{info.bytes} bytes, {info.bpp:.4f} bpp",
    }
    if info.rate is None:
        fields["model"] = "none: stored without loss"
    else:
        fields["model"] = f"{info.model}, weights {info.weights_id}"
        fields["rate"] = f"{info.rate:.4f}" + _setting_words(info)
    fields["streams"] = f"{len(info.streams)}, {sum(info.streams)} bytes"
    if info.levels:
        sizes = " + ".join(map(str, info.levels))
        fields["levels"] = f"{len(info.levels)}, {sizes} bytes"
    if info.alpha_bytes is not None:
        fields["alpha"] = f"{info.alpha_bytes} bytes"
    if info.metadata_bytes:
        kinds = (f"{name.upper()} {size} bytes" for name, size in info.metadata_bytes.items())
        fields["metadata"] = ", ".join(kinds)
    return fields


def _with_alpha(info: Info) -> str:
    return "" if info.alpha_bytes is None else " with alpha"


def _map_place(target: Path, force: bool) -> Destination:
    from vrcodec.maps.levels import check_map_name

    check_map_name(target)
    place = Destination(target, force)
    place.check()
    return place


def _packed_map(data: bytes, info: Info, limits: Limits, target: Path) -> bytes:
    from vrcodec.maps.levels import levels_of, over_picture, packed_map

    return packed_map(over_picture(levels_of(data, limits), info.width, info.height), target)


def _setting_words(info: Info) -> str:
    """What goes with the rate."""
    if info.bin_size is not None:
        return f", with bins of size {info.bin_size:.5g}"
    if info.network_width is not None:
        return f" of width {info.network_width}"
    if info.qmap_bytes is not None:
        return f", the mean of a quality map of {info.qmap_bytes} bytes"
    return ""
