"""Output of commands: messages and progress on stderr, results as lines or JSON on stdout."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any

import click

from vrcodec.errors import OutputError, VrcError

_CLEAR_LINE, _SHOW_CURSOR = b"\r\x1b[2K", b"\x1b[?25h"

# From this file size on, one picture takes seconds.
_LARGE_BYTES = 2_000_000
_WIDEST = 1 << 16

QUIET, NORMAL, VERBOSE, DEBUG = -1, 0, 1, 2

# The verbosity from which on it is shown, and the text.
Message = tuple[int, str]

# Set once, from -q and -v, before a command does anything.
verbosity = NORMAL


@dataclass
class _Bar:
    """A progress bar on the terminal; ``done``: how many steps are."""

    progress: Any
    task: Any
    done: int = 0

    def step(self, note: str = "") -> None:
        self.done += 1
        self.progress.update(self.task, completed=self.done, note=note)


_bar: _Bar | None = None
# Where messages go instead of stderr, in a worker process whose parent prints them.
_collected: list[Message] | None = None


def set_verbosity(value: int) -> None:
    """Set the verbosity: QUIET, NORMAL, VERBOSE or DEBUG."""
    global verbosity
    verbosity = max(QUIET, min(DEBUG, value))


def show(message: str, level: int = QUIET) -> None:
    """Lines on stderr, if the verbosity is at least ``level``, above the progress bar while there is one.

    They are lost where stderr takes nothing.
    """
    if _collected is not None:
        _collected.append((level, message))
    elif verbosity >= level:
        with suppress(OSError):
            _write(message)


def _write(message: str) -> None:
    if _bar is None:
        click.echo(message, err=True)
    else:
        _bar.progress.console.print(
            message, markup=False, emoji=False, highlight=False, soft_wrap=True
        )


@contextmanager
def collect_messages() -> Iterator[list[Message]]:
    """Messages of the body go into the list, at any verbosity, for `repeat` in another process."""
    global _collected
    messages: list[Message] = []
    _collected = messages
    try:
        yield messages
    finally:
        _collected = None


def repeat(messages: Sequence[Message]) -> None:
    """Print messages that were collected."""
    for level, message in messages:
        show(message, level)


def error(message: str) -> None:
    """Print an error, on one line; --quiet does not silence it."""
    show(make_visible(f"vrcodec: {message}"))


def make_visible(text: str) -> str:
    """``text`` with escapes such as \\n for what a terminal obeys, or does not show: names have anything."""
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text
    )


def warn(message: str) -> None:
    """Print a warning."""
    say(f"vrcodec: warning: {message}")


def report(problem: VrcError) -> int:
    """Show an error, with its traceback at -vv; returns its exit code."""
    if verbosity >= DEBUG:
        show("".join(traceback.format_exception(problem)).rstrip("\n"))
    error(str(problem))
    return problem.exit_code


def say(message: str, level: int = NORMAL) -> None:
    """Print a message on stderr, on one line, if the verbosity is at least ``level``."""
    show(make_visible(message), level)


class StdoutError(OutputError):
    """Standard output cannot be written."""


def explain(message: str) -> None:
    """What -v says beyond the usual."""
    say(message, VERBOSE)


@contextmanager
def to_stdout() -> Iterator[None]:
    """The body writes to stdout. Raises StdoutError, or BrokenPipeError when the reader is gone."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as problem:
        raise StdoutError(f"<stdout>: cannot be written: {problem.strerror}") from problem


def echo(line: str = "") -> None:
    """A line on stdout. Raises StdoutError."""
    with to_stdout():
        click.echo(line)


def print_json(value: Any, *, err: bool = False) -> None:
    """One JSON document. ``err``: on stderr, because stdout carries a file."""
    with to_stdout():
        click.echo(json.dumps(value, indent=1), err=err)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on stdout, which may be closed; where that is no terminal, nothing is cut off or wrapped."""
    if sys.stdout is None:
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    whole = not sys.stdout.isatty()
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, no_wrap=whole, overflow="fold")
    for row in rows:
        # As they are: rich would take brackets in a path for its markup.
        table.add_row(*(Text(make_visible(cell)) for cell in row))
    console = Console(width=_WIDEST if whole else None)
    # Rich would end the program where a pipe is closed.
    with console.capture() as capture:
        console.print(table)
    echo(capture.get().rstrip("\n"))


def print_fields(fields: Mapping[str, str]) -> None:
    """Aligned 'name: value' lines on stdout."""
    width = max(map(len, fields))
    for name, value in fields.items():
        echo(f"{name + ':':<{width + 2}}{make_visible(value)}")


def for_each(
    inputs: Sequence[str],
    work: Callable[[str], Any],
    *,
    progress: bool = True,
    parts: bool = False,
) -> tuple[int, list[Any]]:
    """Call ``work`` on every input; an error of one does not stop the others.

    Returns the exit code (the error's own for a single input, 1 when some of several failed) and the
    results. On a terminal, long work shows ``progress`` on stderr; with ``parts`` the work reports the progress
    of each input (`part_done`).
    """
    results, code = [], 0
    large = len(inputs) > 1 or parts or any(map(_is_large, inputs))
    total = len(inputs) if len(inputs) > 1 or parts else None
    with progress_bar(total) if progress and large else nullcontext(_no_step) as advance:
        for name in inputs:
            try:
                results.append(work(name))
            except StdoutError:
                # No fault of this input, and no better for the next.
                raise
            except VrcError as problem:
                code = report(problem)
            advance()
    return (1 if code and len(inputs) > 1 else code), results


def _no_step(note: str = "") -> None:
    pass


@contextmanager
def progress_bar(total: int | None) -> Iterator[Callable[..., None]]:
    """A progress bar with the time left, if stderr is a terminal; yields a function to call after each step.

    That takes a note to show behind the bar, such as a speed. Without a ``total`` the bar pulses: the progress
    of a single picture is unknown.
    """
    global _bar
    if verbosity < NORMAL or sys.stderr is None or not sys.stderr.isatty():
        yield _no_step
        return
    from rich.console import Console
    from rich.progress import Progress, TextColumn

    console = Console(stderr=True)
    columns = (*Progress.get_default_columns(), TextColumn("{task.fields[note]}"))
    with Progress(*columns, console=console, transient=True, redirect_stdout=False) as bar:
        task = bar.add_task("vrcodec", total=total, note="")
        _bar = _Bar(bar, task)
        try:
            yield _bar.step
        finally:
            _bar = None


def clear_bar() -> None:
    """Clear the bar's line and show the cursor, from a signal handler: takes no locks."""
    if _bar is not None:
        with suppress(OSError):
            os.write(2, _CLEAR_LINE + _SHOW_CURSOR)


def part_done(share: float) -> None:
    """Show on the progress bar, if there is one, that ``share``, 0 .. 1, of the present step is done."""
    if _bar is not None:
        _bar.progress.update(_bar.task, completed=_bar.done + share)


def _is_large(name: str) -> bool:
    try:
        return os.path.getsize(name) > _LARGE_BYTES
    except OSError:
        return False
