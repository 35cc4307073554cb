"""`vrcodec batch`"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from vrcodec.batch import storage
from vrcodec.batch.inputs import DECODE_SUFFIXES, ENCODE_SUFFIXES
from vrcodec.batch.manifest import Manifest, Shard
from vrcodec.cli import decode, encode
from vrcodec.cli.shared import options, output
from vrcodec.cli.shared.decode_work import DecodeWork
from vrcodec.cli.shared.encode_work import EncodeWork
from vrcodec.cli.shared.many_files import exit_code, track_outcomes
from vrcodec.cli.shared.option_groups import MANY_FILES, GroupedCommand, option_group
from vrcodec.errors import UsageError

if TYPE_CHECKING:
    from vrcodec.batch.items import Work

# Options of `encode` and `decode` that those of this command replace.
_REPLACED = frozenset(
    {"inputs", "target", "force", "as_json", "files_from", "null", "jobs", "resume", "log"}
    | {"pattern", "keep_partial"}
    # Here --engine is what runs the workers; what computes in them, VRCODEC_ENGINE tells.
    | {"library"}
)


_HELP = """Encode or decode a part of a long list, on each of many machines. See docs/SCALING.md.

What is done already is skipped, so that a job can be started again after anything. A report, as JSON, goes
to stdout at the end.
"""


@click.group(help=_HELP)
def command() -> None:
    """Run the command."""


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


_OPTIONS = option_group(
    MANY_FILES,
    click.option(
        "--manifest",
        required=True,
        metavar="LIST",
        shell_complete=options.complete_files,
        help="A source a line, and after a tab its target if it has one of its own; or a folder. File or URL.",
    ),
    click.option(
        "--out",
        required=True,
        metavar="PLACE",
        shell_complete=options.complete_files,
        help="Folder or URL for the results.",
    ),
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
        type=options.FiniteRange(min=0),
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
        shell_complete=options.complete_files,
        help="A line of JSON for each picture. [default: vrcodec-logs/I-of-N.jsonl below --out]",
    ),
    click.option(
        "--report",
        metavar="FILE",
        shell_complete=options.complete_files,
        help="Write the report to a file or URL as well.",
    ),
)


def _with_options_of(command: click.Command) -> Callable[[Any], Any]:
    """The options of `vrcodec batch`, then those of ``command`` that apply here."""

    def add(function: Any) -> Any:
        inherited = [p for p in command.params if p.name not in _REPLACED]
        function.__click_params__ = list(reversed(inherited))
        return _OPTIONS(function)

    return add


_ENCODE_HELP = """Compress the pictures of a list."""


@command.command("encode", cls=GroupedCommand, help=_ENCODE_HELP)
@_with_options_of(encode.command)
def encode_command(**given: Any) -> int:
    """Run the command."""
    batch_options, settings = split_options(given)
    work = EncodeWork.from_options({**settings, "keep_partial": False})
    return _run(work, ".vrc", ENCODE_SUFFIXES, **batch_options)


_DECODE_HELP = """Decompress the .vrc files of a list."""


@command.command("decode", cls=GroupedCommand, help=_DECODE_HELP)
@_with_options_of(decode.command)
def decode_command(**given: Any) -> int:
    """Run the command."""
    batch_options, settings = split_options(given)
    work = DecodeWork.from_options(settings)
    return _run(work, work.writing.suffix, DECODE_SUFFIXES, **batch_options)


def split_options(given: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options of `vrcodec batch`, and those of the work, among the options of a command."""
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
    batch_options = {name: given.pop(name) for name in names}
    return batch_options, given


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
    **run_options: Any,
) -> int:
    from vrcodec.batch.processor import ItemProcessor
    from vrcodec.batch.shard_run import ShardRun, default_log

    processor = ItemProcessor(work, force, resume=True)
    run = ShardRun(
        Manifest(manifest, out, suffix, suffixes),
        shard,
        processor,
        log=log or default_log(out, shard),
        **run_options,
    )
    # Before a log is begun, in a folder that would be made for it.
    run.manifest.check()
    totals, interrupted = track_outcomes(run.outcomes(), None, run.log)
    elapsed = round(totals.elapsed, 3)
    document = {**run.as_dict(), "interrupted": interrupted, "elapsed_seconds": elapsed}
    _write_report({**document, **totals.as_dict()}, report)
    return exit_code(totals, interrupted, "the same command goes on")


_REPORT_HELP = """Sum up the LOGS of all shards, as JSON. Exit code 1 when a picture has failed."""


@command.command("report", help=_REPORT_HELP)
@click.argument("logs", nargs=-1, required=True, shell_complete=options.complete_files)
def report_command(logs: tuple[str, ...]) -> int:
    """Run the command."""
    from vrcodec.batch.totals import merge_logs

    report = merge_logs(logs)
    output.print_json(report)
    return 1 if report["failed"] else 0


def _write_report(document: dict[str, Any], location: str | None) -> None:
    """Either place gets it, also where the other takes nothing."""
    try:
        output.print_json(document)
    finally:
        if location is not None:
            data = json.dumps(document, indent=1).encode() + b"\n"
            storage.write(location, data, overwrite=True)
