"""`vrcodec import`"""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from vrcodec.cli.shared import options, output
from vrcodec.cli.shared.option_groups import MESSAGES, OUTPUT, GroupedCommand, option_group
from vrcodec.extras import require

_HELP = """Put a network of your own under the quantisation regulator, and its weights into the store.

CHECKPOINT is what torch.save wrote of a state dict: of bmshj2018-hyperprior or mbt2018-mean in CompressAI's
layout, or of their -vbr forms, of any widths. `encode --model NAME` then takes it at any rate, and `train NAME`
trains it on over all rates. docs/IMPORT.md tells what is taken over.
"""


@click.command(cls=GroupedCommand, help=_HELP)
@click.argument("checkpoint", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@option_group(
    "What becomes of it",
    click.option(
        "--as",
        "name",
        required=True,
        metavar="NAME",
        help="What --model will call it: small letters, digits and _.",
    ),
    click.option(
        "--lambda",
        "trade_off",
        type=click.FloatRange(min=0, min_open=True),
        help="What it was trained with, as CompressAI has it (lambda 255^2 MSE + bits a pixel): its own "
        "quantisation steps are to be those of the rate that has this lambda. A -vbr checkpoint knows that "
        "itself.  [default: 0.01]",
    ),
)
@option_group(OUTPUT, options.json_option)
@option_group(MESSAGES, options.verbosity_options)
def command(checkpoint: Path, name: str, trade_off: float | None, as_json: bool) -> None:
    """Run the command."""
    for module in ("torch", "compressai"):
        require(module, "train", "importing a network")
    from vrcodec.rate import rate_from_code
    from vrcodec.training.compressai_import import import_checkpoint
    from vrcodec.training.export import export_model
    from vrcodec.weights.store import add_named, check_name

    check_name(name)
    found = import_checkpoint(checkpoint, trade_off)
    origin = {"checkpoint": checkpoint.name, "layout": found.layout}
    with tempfile.TemporaryDirectory() as folder:
        entry = add_named(
            export_model(found.model, Path(folder), [origin], name=name, version=1), name
        )
    rate = rate_from_code(found.rate_code)
    if as_json:
        facts = {"name": entry.name, "id": entry.id.hex(), "path": str(entry.path)}
        output.print_json({**facts, "layout": found.layout, "rate": rate})
    else:
        output.say(
            f"{entry.name} {entry.id.hex()}: {found.layout}, as it was trained at rate {rate:.3f}"
        )
