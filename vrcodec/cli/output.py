"""What users see: messages on stderr, results as lines or JSON on stdout."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from vrcodec.errors import VrcError

QUIET, NORMAL, VERBOSE, DEBUG = -1, 0, 1, 2

# Set once, from -q and -v, before a command does anything.
verbosity = NORMAL


def set_verbosity(value: int) -> None:
    """Choose how much is said: QUIET, NORMAL, VERBOSE or DEBUG."""
    global verbosity
    verbosity = max(QUIET, min(DEBUG, value))


def error(message: str) -> None:
    """Say what went wrong. Errors are never silenced."""
    click.echo(f"vrcodec: {message}", err=True)


def report(problem: VrcError) -> int:
    """Show an error, with its traceback at -vv; returns its exit code."""
    if verbosity >= DEBUG:
        traceback.print_exception(problem)
    error(str(problem))
    return problem.exit_code


def say(message: str, level: int = NORMAL) -> None:
    """A line for the user on stderr, if ``level`` is asked for."""
    if verbosity >= level:
        click.echo(message, err=True)


def print_json(value: Any, *, err: bool = False) -> None:
    """One JSON document. ``err``: on stderr, because stdout carries a file."""
    click.echo(json.dumps(value, indent=1), err=err)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on stdout."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def print_fields(fields: Mapping[str, str]) -> None:
    """Aligned 'name: value' lines on stdout."""
    width = max(map(len, fields))
    for name, value in fields.items():
        click.echo(f"{name + ':':<{width + 2}}{value}")


def for_each(inputs: Sequence[str], work: Callable[[str], Any]) -> tuple[int, list[Any]]:
    """Call ``work`` on every input; an error of one does not stop the others.

    Returns the exit code (the error's own for a single input, 1 when some of several failed) and the
    results. A progress bar on stderr appears for several inputs, on a terminal.
    """
    from contextlib import nullcontext

    results, code = [], 0
    bar = _progress(len(inputs))
    with bar or nullcontext():
        for name in inputs:
            try:
                results.append(work(name))
            except VrcError as problem:
                code = report(problem)
            if bar:
                bar.advance(bar.task_ids[0])
    return (1 if code and len(inputs) > 1 else code), results


def _progress(count: int) -> Any:
    """A rich progress bar, where it helps: several inputs and a terminal to show it on."""
    if count < 2 or verbosity < NORMAL or not sys.stderr.isatty():
        return None
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True)
    bar = Progress(BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console)
    bar.add_task("pictures", total=count)
    return bar
