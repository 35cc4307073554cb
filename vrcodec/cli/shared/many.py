"""What `encode` and `decode` do with many inputs: find them, share them out, say what came of them."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from vrcodec.batch import places
from vrcodec.batch.items import Item, Outcome, Work
from vrcodec.batch.totals import Totals
from vrcodec.cli.shared import output, signals
from vrcodec.cli.shared.paths import STANDARD
from vrcodec.errors import InputError, UsageError
from vrcodec.limits import Limits

Function = TypeVar("Function", bound=Callable[..., Any])

LOG_NAME = "vrcodec-log.jsonl"
# Of options: what has no say in the result.
_NO_SETTINGS = frozenset({"device", "threads", "limits", "tiling", "keep_partial", "strict"})


@dataclass(frozen=True)
class ManyOptions:
    """The options of `many_options`."""

    files_from: str | None = None
    null: bool = False
    jobs: int | None = None
    resume: bool = False
    log: str | None = None

    def wanted(self, inputs: Sequence[str], target: str | None) -> bool:
        """Whether inputs are for worker processes; a single file, stdin and stdout are not."""
        if not inputs and self.files_from is None:
            raise click.UsageError("name an input, or a list of inputs with --files-from")
        chosen = self.files_from or self.jobs or self.resume or self.log
        several = len(inputs) > 1 or any(map(_is_more, inputs)) or places.is_url(target or "")
        standard = STANDARD in (*inputs, target)
        if standard and chosen:
            raise UsageError(
                "stdin and stdout go with none of --files-from, --jobs, --resume, --log"
            )
        return bool(chosen or several) and not standard

    def listed(self) -> list[str]:
        """The names in the list. Raises InputError or UsageError."""
        if self.files_from is None:
            return []
        from vrcodec.batch.inputs import read_list

        standard = self.files_from == STANDARD
        data = sys.stdin.buffer.read() if standard else places.read(self.files_from)
        return read_list(data, null=self.null)


def _is_more(name: str) -> bool:
    """Whether a name stands for several files, or for what only `vrcodec.batch` reads."""
    pattern = any(sign in name for sign in "*?[") and not os.path.lexists(name)
    return pattern or os.path.isdir(name) or places.is_url(name)


_OPTIONS = (
    click.option(
        "--files-from",
        metavar="LIST",
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
        help=f"A line of JSON for each input.  [default: {LOG_NAME} in the output folder]",
    ),
)


def many_options(function: Function) -> Callable[..., Any]:
    """The flags of commands that take many inputs; they arrive as one argument, ``many``."""

    @functools.wraps(function)
    def gathered(
        *,
        files_from: str | None,
        null: bool,
        jobs: int | None,
        resume: bool,
        log: str | None,
        **given: Any,
    ) -> Any:
        return function(many=ManyOptions(files_from, null, jobs, resume, log), **given)

    wrapped: Callable[..., Any] = gathered
    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped


def settings_key(given: Mapping[str, Any]) -> str:
    """A hash of what has a say in the result among the options of a command."""
    chosen = {name: value for name, value in given.items() if name not in _NO_SETTINGS}
    text = json.dumps(chosen, sort_keys=True, default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    """A file stands for its content."""
    if isinstance(value, Path):
        return hashlib.sha256(places.read(str(value))).hexdigest()
    if isinstance(value, frozenset):
        return sorted(value)
    assert not isinstance(value, Limits)
    return str(value)


@dataclass(frozen=True)
class Request:
    """Many inputs and what is to be done with them. ``suffix``: of results; ``suffixes``: of files in folders.

    ``verb``: what has been done with a picture then.
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


def run_many(request: Request) -> int:
    """Do it, and return the exit code. Raises VrcError for what is wrong before any work."""
    from vrcodec.batch.handler import Handler
    from vrcodec.batch.log import last_results
    from vrcodec.batch.pool import outcomes, usual_jobs

    items = _items(request)
    log = _log_place(request)
    known = last_results(log) if log and request.options.resume else {}
    work = [Item(i.source, i.target, known.get(i.target)) for i in items]
    jobs = request.options.jobs or usual_jobs(len(work))
    handler = Handler(request.work, request.force, request.options.resume)
    collected: list[dict[str, Any]] | None = [] if request.as_json else None
    totals, interrupted = follow(outcomes(handler, work, jobs), len(work), log, collected)
    output.say(totals.words(request.verb, min(jobs, len(work))))
    if collected is not None:
        order = {item.source: number for number, item in enumerate(work)}
        output.print_json(sorted(collected, key=lambda facts: order[facts["input"]]))
    return exit_code(totals, interrupted)


def _items(request: Request) -> list[Item]:
    from vrcodec.batch.destinations import targets
    from vrcodec.batch.inputs import find

    _check_output(request)
    if len(set(request.inputs)) < len(request.inputs):
        raise UsageError("an input is named twice")
    found = find(request.inputs, request.options.listed(), request.suffixes)
    if not found.sources:
        raise InputError(f"{', '.join(request.inputs) or 'the list'}: nothing to do there")
    if found.left_out:
        names = ", ".join(sorted(request.suffixes))
        output.say(f"{found.left_out} files left out that are none of {names}", output.VERBOSE)
    wanted = targets(found.sources, request.target, request.suffix)
    return [Item(source, target) for source, target in wanted.items()]


def _check_output(request: Request) -> None:
    """A tree makes its folder; for files that are named one by one, it must be there."""
    target = request.target
    folders = [name for name in request.inputs if os.path.isdir(name)]
    if target is None:
        if folders:
            raise InputError(f"{folders[0]}: is a folder; name one for the results with -o")
        return
    if places.is_url(target) or Path(target).is_dir():
        return
    tree = request.options.files_from or any(map(_is_more, request.inputs))
    if not tree or Path(target).exists():
        raise UsageError(
            f"{target}: with several inputs, or --jobs, --resume or --log, -o must name an existing folder"
        )


def _log_place(request: Request) -> str | None:
    options = request.options
    if options.resume and not (options.log or request.target):
        raise UsageError("--resume needs a folder for the results, -o, or --log")
    if options.log or request.target is None:
        return options.log
    return places.join(request.target, LOG_NAME)


def follow(
    found: Iterable[Outcome],
    count: int | None,
    log_place: str | None,
    collected: list[dict[str, Any]] | None = None,
) -> tuple[Totals, bool]:
    """Log outcomes as they come, say what failed, show how far it is.

    Returns the sum, and whether Ctrl-C has ended it early. ``collected`` takes what there is to say about each
    that was done.
    """
    from vrcodec.batch.log import Log

    totals = Totals()
    log = Log(log_place) if log_place else None
    try:
        with signals.raised(), output.progress_bar(count) as step:
            for outcome in found:
                totals.add(outcome)
                if log:
                    log.add(outcome)
                _say(outcome)
                if collected is not None and outcome.outcome == "done":
                    collected.append(outcome.facts)
                step(totals.speed_words())
    except KeyboardInterrupt:
        return totals, True
    finally:
        # What was begun is ended before the last line is written.
        getattr(found, "close", lambda: None)()
        if log:
            log.close()
    return totals, False


def _say(outcome: Outcome) -> None:
    output.repeat(outcome.facts.pop("messages", ()))
    if outcome.outcome == "failed":
        output.error(outcome.error)
    else:
        words = f"{outcome.bytes} bytes" if outcome.outcome == "done" else "up to date"
        output.say(f"{click.format_filename(outcome.target)}: {words}", output.VERBOSE)


def exit_code(totals: Totals, interrupted: bool) -> int:
    """Of a command that has done what it could."""
    if interrupted:
        from vrcodec.cli.main import EXIT_INTERRUPTED

        output.error("interrupted; --resume goes on")
        return EXIT_INTERRUPTED
    return 1 if totals.failed else 0
