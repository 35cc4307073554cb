"""Options of a command in groups, by what they are for: in its help, its manual page and its completion.

A command's help is a constant of its module, not a docstring: `python -OO` has no docstrings.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

Decorator = Callable[[Any], Any]

# Titles that several commands have.
OUTPUT = "Output"
MANY_FILES = "Many files"
RUNNING = "Where it runs"
MESSAGES = "Messages"


def option_group(title: str, *options: Decorator) -> Decorator:
    """Add ``options``, in this order, under a title. Groups come in the order of their decorators."""

    def add(function: Any) -> Any:
        for option in reversed(options):
            known = len(getattr(function, "__click_params__", ()))
            function = option(function)
            for parameter in function.__click_params__[known:]:
                parameter.option_group = title
        return function

    return add


def grouped_options(command: click.Command, ctx: click.Context) -> dict[str, list[tuple[str, str]]]:
    """Names and help of the options of ``command``, by the title of their group."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for parameter in command.get_params(ctx):
        record = parameter.get_help_record(ctx)
        if isinstance(parameter, click.Option) and record:
            # That of --help, which click adds.
            title = getattr(parameter, "option_group", MESSAGES)
            groups.setdefault(title, []).append(record)
    return groups


class GroupedCommand(click.Command):
    """A command whose help shows its options in groups."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one section for each group."""
        for title, records in grouped_options(self, ctx).items():
            with formatter.section(title):
                formatter.write_dl(records)
