"""`encode` and `decode` of many files: find the inputs, run worker processes, log and report outcomes."""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from vrcodec.batch import storage
from vrcodec.batch.inputs import find_inputs, is_pattern, parse_list
from vrcodec.batch.items import Item, Outcome, Work
from vrcodec.batch.log import LOG_NAME
from vrcodec.batch.totals import Totals, format_kinds
from vrcodec.cli.shared import output, signals
from vrcodec.cli.shared.options import complete_files
from vrcodec.cli.shared.paths import STDIO, stdin_bytes
from vrcodec.errors import InputError, UsageError
from vrcodec.limits import Limits

Function = TypeVar("Function", bound=Callable[..., Any])

# Options that do not affect the result.
_WITHOUT_EFFECT = frozenset({"device", "threads", "limits", "tiling", "keep_partial"})


@dataclass(frozen=True)
class ManyOptions:
    """The values of the options of `many_options`."""

    files_from: str | None = None
    null: bool = False
    jobs: int | None = None
    resume: bool = False
    log: str | None = None

    def needs_workers(self, inputs: Sequence[str], target: str | None) -> bool:
        """Whether worker processes do it: not for a single file, stdin or stdout. Raises UsageError."""
        if not inputs and self.files_from is None:
            raise click.UsageError("name an input, or a list of inputs with --files-from")
        if self.null and self.files_from is None:
            raise UsageError("--null is about the list of --files-from")
        asked = self.files_from or self.jobs or self.resume or self.log
        several = len(inputs) > 1 or any(map(_is_several, inputs)) or storage.is_url(target or "")
        stdio = STDIO in (*inputs, target)
        if stdio and asked:
            raise UsageError(
                "stdin and stdout go with none of --files-from, --jobs, --resume, --log"
            )
        return bool(asked or several) and not stdio

    def read_list(self) -> list[str]:
        """The names in the list of --files-from. Raises InputError or UsageError."""
        if self.files_from is None:
            return []
        from_stdin = self.files_from == STDIO
        data = stdin_bytes().read() if from_stdin else storage.read(self.files_from)
        return parse_list(data, null=self.null)


def _is_several(name: str) -> bool:
    """Whether a name stands for several files, or is a URL, which only `vrcodec.batch` reads."""
    return is_pattern(name) or os.path.isdir(name) or storage.is_url(name)


_OPTIONS = (
    click.option(
        "--files-from",
        metavar="LIST",
        shell_complete=complete_files,
        help="Read further names from this file, one a line; - is stdin.",
    ),
    click.option("-0", "--null", is_flag=True, help="Names in the list end with a zero byte."),
    click.option(
        "--jobs",
        type=click.IntRange(min=1),
        help="Pictures to work on at a time, each in a process with one thread.  [default: one a core]",
    ),
    click.option(
        "--resume",
        is_flag=True,
        help="Skip what an earlier run has done, going by content, weights and settings; renew what has "
        "changed.",
    ),
    click.option(
        "--log",
        metavar="FILE",
        shell_complete=complete_files,
        help="A line of JSON for each input; - is stdout.  "
        f"[default: {LOG_NAME} in the output folder]",
    ),
)


def many_options(function: Function) -> Callable[..., Any]:
    """The flags of commands that take many inputs; the command gets them as one argument, ``many``."""

    @functools.wraps(function)
    def with_many(
        *,
        files_from: str | None,
        null: bool,
        jobs: int | None,
        resume: bool,
        log: str | None,
        **other_options: Any,
    ) -> Any:
        many = ManyOptions(files_from, null, jobs, resume, log)
        return function(many=many, **other_options)

    wrapped: Callable[..., Any] = with_many
    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped


def hash_settings(options: Mapping[str, Any]) -> str:
    """A hash of the options of a command that affect the result, or whether there is one."""
    chosen = {name: value for name, value in options.items() if name not in _WITHOUT_EFFECT}
    # Without it, the hash is that of logs from before it counted.
    if not chosen.get("strict"):
        chosen.pop("strict", None)
    text = json.dumps(chosen, sort_keys=True, default=_as_plain)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _as_plain(value: Any) -> Any:
    """A value for JSON; a file is represented by a hash of its content."""
    if isinstance(value, Path):
        return hashlib.sha256(storage.read(str(value))).hexdigest()
    if isinstance(value, frozenset):
        return sorted(value)
    assert not isinstance(value, Limits)
    return str(value)


@dataclass(frozen=True)
class ManyFilesRequest:
    """Many inputs, and the work on them. ``suffix``: of results; ``suffixes``: of the files taken from folders.

    ``verb``: for the summary, encoded or decoded.
    """

    inputs: Sequence[str]
    target: str | None
    force: bool
    as_json: bool
    options: ManyOptions
    work: Work
    suffix: str
    suffixes: frozenset[str]
    verb: str


def run_many(request: ManyFilesRequest) -> int:
    """Process all inputs; returns the exit code. Raises VrcError where the request cannot be carried out."""
    from vrcodec.batch.log import read_last_results
    from vrcodec.batch.pool import default_jobs, run_in_pool
    from vrcodec.batch.processor import ItemProcessor

    _check_output(request)
    log = _choose_log(request)
    previous = read_last_results(log) if log and request.options.resume else {}
    targets, others = _find_targets(request, previous)
    items = [Item(source, target, previous.get(target)) for source, target in targets.items()]
    jobs = request.options.jobs or default_jobs(len(items))
    processor = ItemProcessor(request.work, request.force, request.options.resume)
    results: list[Outcome] | None = [] if request.as_json else None

    def outcomes() -> Iterator[Outcome]:
        yield from others
        yield from run_in_pool(processor, items, jobs)

    totals, interrupted = track_outcomes(outcomes(), len(items), log, results)
    output.say(totals.format_summary(request.verb, min(jobs, len(items))))
    if results is not None:
        order = {item.source: number for number, item in enumerate(items)}
        results.sort(key=lambda outcome: order[outcome.source])
        output.print_json([outcome.result for outcome in results])
    return exit_code(totals, interrupted, "--resume goes on")


def _find_targets(
    request: ManyFilesRequest, previous: Mapping[str, Outcome]
) -> tuple[dict[str, str], list[Outcome]]:
    """By source, where its result goes; and outcomes of what is left out, or cannot be listed."""
    from vrcodec.batch.output_paths import choose_targets

    if len(set(request.inputs)) < len(request.inputs):
        raise UsageError("an input is named twice")
    listed = request.options.read_list()
    found = find_inputs(
        request.inputs, listed, request.suffixes, beside_sources=request.target is None
    )
    if not found.sources and not found.unreadable:
        kinds = Counter(found.left_out.values())
        words = f"; {format_kinds(kinds)}" if kinds else ""
        named = ", ".join(map(click.format_filename, request.inputs)) or "the list"
        raise InputError(f"{named}: nothing to do there{words}")
    left_out = [
        Outcome(path, "", "left out", error_class=kind) for path, kind in found.left_out.items()
    ]
    owners = {target: outcome.source for target, outcome in previous.items()}
    targets = choose_targets(found.sources, request.target, request.suffix, owners)
    return targets, left_out + found.failures()


def _check_output(request: ManyFilesRequest) -> None:
    """The output folder must exist, unless inputs are a tree: that makes it."""
    target = request.target
    folders = [name for name in request.inputs if os.path.isdir(name)]
    if target is None:
        if folders:
            raise InputError(f"{folders[0]}: is a folder; name one for the results with -o")
        return
    if storage.is_url(target) or os.path.isdir(target):
        return
    tree = request.options.files_from or any(map(_is_several, request.inputs))
    if not tree or os.path.exists(target):
        raise UsageError(
            f"{target}: with several inputs, or --jobs, --resume or --log, -o must name an existing folder"
        )
    if Path(target).suffix.lower() == request.suffix:
        raise UsageError(
            f"{target}: is called as a file is; with a URL, a pattern, a folder or a list, -o names a folder"
        )


def _choose_log(request: ManyFilesRequest) -> str | None:
    options = request.options
    if options.resume and not (options.log or request.target):
        raise UsageError("--resume needs a folder for the results, -o, or --log")
    if request.as_json and options.log in (STDIO, "/dev/stdout"):
        raise UsageError("--log - and --json would both go to stdout")
    if options.log or request.target is None:
        return options.log
    return storage.join(request.target, LOG_NAME)


def track_outcomes(
    outcomes: Iterable[Outcome],
    count: int | None,
    log_location: str | None,
    results: list[Outcome] | None = None,
) -> tuple[Totals, bool]:
    """Log outcomes as they come, print failures, show the progress out of ``count``.

    Returns the totals, and whether Ctrl-C has ended it early. ``results`` takes what was done, for --json.
    """
    from vrcodec.batch.log import Log

    totals = Totals()
    log = Log(log_location) if log_location else None
    try:
        with signals.as_exceptions(), output.progress_bar(count) as step:
            for outcome in outcomes:
                totals.add(outcome)
                if log:
                    log.add(outcome)
                _print_outcome(outcome)
                if results is not None and outcome.outcome == "done":
                    results.append(outcome)
                if outcome.outcome != "left out":
                    step(totals.format_speed())
    except KeyboardInterrupt:
        return totals, True
    finally:
        # Workers are ended before the log is closed.
        getattr(outcomes, "close", lambda: None)()
        if log:
            log.close()
    return totals, False


def _print_outcome(outcome: Outcome) -> None:
    output.repeat(outcome.result.pop("messages", ()))
    if outcome.outcome == "failed":
        output.error(outcome.error)
    elif outcome.outcome == "left out":
        name = click.format_filename(outcome.source)
        output.say(f"{name}: left out, {outcome.error_class}", output.VERBOSE)
    else:
        status = f"{outcome.bytes} bytes" if outcome.outcome == "done" else "up to date"
        output.say(f"{click.format_filename(outcome.target)}: {status}", output.VERBOSE)


def exit_code(totals: Totals, interrupted: bool, advice: str) -> int:
    """The exit code of a command with such outcomes. ``advice``: how to go on after an interruption."""
    if interrupted:
        output.error(f"interrupted; {advice}")
        return signals.EXIT_INTERRUPTED
    return 1 if totals.failed else 0
