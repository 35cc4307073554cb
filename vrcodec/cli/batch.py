"""`vrcodec batch`"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from vrcodec.batch import places
from vrcodec.batch.inputs import FILES, PICTURES
from vrcodec.batch.manifest import Manifest, Shard
from vrcodec.cli import decode, encode
from vrcodec.cli.shared import output
from vrcodec.cli.shared.encoding import EncodeWork
from vrcodec.cli.shared.many import exit_code, follow
from vrcodec.errors import UsageError

if TYPE_CHECKING:
    from vrcodec.batch.items import Work

# Of the commands for one machine; others take their place.
_REPLACED = frozenset(
    {"inputs", "target", "force", "as_json", "files_from", "null", "jobs", "resume", "log"}
    | {"pattern", "keep_partial"}
)


@click.group()
def command() -> None:
    """Encode or decode a part of a long list, on each of many machines. See docs/SCALING.md.

    What is done already is skipped, so that a job can be started again after anything. A report, as JSON, goes
    to stdout at the end.
    """


class _ShardType(click.ParamType):  # type: ignore[type-arg]
    """I/N, counted from 1."""

    name = "shard"

    def convert(self, value: Any, param: Any, ctx: Any) -> Shard:
        """Parse ``value``; click reports what does not fit."""
        if isinstance(value, Shard):
            return value
        try:
            return Shard.parse(str(value))
        except UsageError as error:
            self.fail(str(error), param, ctx)


_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--manifest",
        required=True,
        metavar="LIST",
        help="A source a line, and after a tab its target if it has one of its own; or a folder. File or URL.",
    ),
    click.option("--out", required=True, metavar="PLACE", help="Folder or URL for the results."),
    click.option(
        "--shard",
        type=_ShardType(),
        default="1/1",
        show_default=True,
        metavar="I/N",
        help="Which part of the list is to be done here, counted from 1.",
    ),
    click.option("-f", "--force", is_flag=True, help="Overwrite what others have left there."),
    click.option(
        "--engine",
        type=click.Choice(["local", "ray"]),
        default="local",
        show_default=True,
        help="Processes of this machine, or actors of a Ray cluster (extra 'ray').",
    ),
    click.option(
        "--jobs",
        type=click.IntRange(min=1),
        help="Workers with one thread each.  [default: one a core; with Ray, one is left free for reading]",
    ),
    click.option(
        "--gpus",
        type=click.FloatRange(min=0),
        default=0.0,
        show_default=True,
        help="With Ray: the share of a GPU that each worker takes.",
    ),
    click.option(
        "--retries",
        type=click.IntRange(min=0),
        default=2,
        show_default=True,
        help="How often to try again what may pass: reading, writing, a worker that died.",
    ),
    click.option(
        "--log",
        metavar="FILE",
        help="A line of JSON for each picture. [default: vrcodec-logs/I-of-N.jsonl below --out]",
    ),
    click.option("--report", metavar="FILE", help="Write the report to a file or URL as well."),
)


def _options(model: click.Command) -> Callable[[Any], Any]:
    """Ours, then those of a command for one machine that make sense here."""

    def add(function: Any) -> Any:
        theirs = [p for p in model.params if p.name not in _REPLACED]
        function.__click_params__ = list(reversed(theirs))
        for option in reversed(_OPTIONS):
            function = option(function)
        return function

    return add


@command.command("encode")
@_options(encode.command)
def encode_command(**given: Any) -> int:
    """Compress the pictures of a list."""
    own, settings = split(given)
    work = EncodeWork.of({**settings, "keep_partial": False})
    return _run(work, ".vrc", PICTURES, **own)


@command.command("decode")
@_options(decode.command)
def decode_command(**given: Any) -> int:
    """Decompress the .vrc files of a list."""
    own, settings = split(given)
    work = decode.DecodeWork.of(settings)
    return _run(work, f".{work.output_format}", FILES, **own)


def split(given: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Our options, and those of the work, among what a command is given."""
    names = (
        "manifest",
        "out",
        "shard",
        "force",
        "engine",
        "jobs",
        "gpus",
        "retries",
        "log",
        "report",
    )
    own = {name: given.pop(name) for name in names}
    return own, given


def _run(
    work: Work,
    suffix: str,
    suffixes: frozenset[str],
    *,
    manifest: str,
    out: str,
    shard: Shard,
    force: bool,
    log: str | None,
    report: str | None,
    **how: Any,
) -> int:
    from vrcodec.batch.handler import Handler
    from vrcodec.batch.shard import Share, shard_log

    found = Manifest(manifest, out, suffix, suffixes)
    handler = Handler(work, force, resume=True)
    share = Share(found, shard, handler, log=log or shard_log(out, shard), **how)
    totals, interrupted = follow(share.outcomes(), None, share.log)
    elapsed = round(totals.elapsed, 3)
    document = {**share.as_dict(), "interrupted": interrupted, "elapsed_seconds": elapsed}
    _print({**document, **totals.as_dict()}, report)
    return exit_code(totals, interrupted)


@command.command("report")
@click.argument("logs", nargs=-1, required=True)
def report_command(logs: tuple[str, ...]) -> int:
    """Sum up the LOGS of all shards, as JSON. Exit code 1 when a picture has failed."""
    from vrcodec.batch.merging import merged_report

    report = merged_report(logs)
    output.print_json(report)
    return 1 if report["failed"] else 0


def _print(document: dict[str, Any], place: str | None) -> None:
    output.print_json(document)
    if place is not None:
        places.write(place, json.dumps(document, indent=1).encode() + b"\n", overwrite=True)
