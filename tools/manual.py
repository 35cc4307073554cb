"""The manual page share/man/man1/vrcodec.1, in roff, from the commands themselves."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import click

from vrcodec import __version__
from vrcodec.catalog import WEIGHTS_VARIABLE
from vrcodec.cli.main import COMMANDS, cli
from vrcodec.cli.shared.option_groups import GroupedCommand, grouped_options
from vrcodec.engine import FETCH_VARIABLE
from vrcodec.models.backends import LIBRARY_VARIABLE
from vrcodec.weights.hub import HUB_VARIABLE

# Purpose and command lines. All of them are in the README, too.
EXAMPLES = {
    "Compress a photograph, at a rate or to a size:": (
        "vrcodec encode photo.png --rate 0.6",
        "vrcodec encode photo.png -o small.vrc --bpp 0.4",
    ),
    "Have it back, and look at it:": (
        "vrcodec decode photo.vrc -o decoded.png",
        "vrcodec view photo.vrc --original photo.png",
    ),
    "Measure models on pictures of one's own:": ("vrcodec bench pictures/ --quick",),
}
_VARIABLES = {
    WEIGHTS_VARIABLE: "Folders to look for weights in, before all others.",
    HUB_VARIABLE: "The URL or folder that `vrcodec weights fetch` gets weights from.",
    FETCH_VARIABLE: "1: missing weights are fetched without being asked for.",
    LIBRARY_VARIABLE: "What computes: numpy or torch.",
}
_CODES = "Exit codes: "
# Characters that roff would interpret, or print as others.
_ESCAPES = str.maketrans(
    {"\\": r"\e", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti"}
)


def build_manual() -> str:
    """The whole page."""
    group = click.Context(cli, info_name="vrcodec", **cli.context_settings)
    summary, *rest = _paragraphs(cli)
    codes = next(text for text in rest if text.startswith(_CODES))
    lines = [
        f'.TH VRCODEC 1 "" "vrcodec {__version__}" "User Commands"',
        *_section("NAME", rf"vrcodec \- {_escape(summary[0].lower() + summary[1:].rstrip('.'))}"),
        *_section("SYNOPSIS", _synopsis(cli, group)),
        *_section("DESCRIPTION", *_prose([summary, *(text for text in rest if text != codes)])),
        *_options(cli, group),
        ".SH COMMANDS",
    ]
    for name in COMMANDS:
        command = cli.get_command(group, name)
        assert command is not None
        lines += _command(command, click.Context(command, group, name, **cli.context_settings))
    lines += _section("EXIT STATUS", *_exit_codes(codes))
    lines += _section(
        "ENVIRONMENT", *(line for item in _VARIABLES.items() for line in _item(*item))
    )
    lines += _section("EXAMPLES", *_examples())
    return "\n".join(lines) + "\n"


def _section(title: str, *lines: str) -> list[str]:
    return [f".SH {title}", *lines]


def _command(command: click.Command, context: click.Context) -> Iterator[str]:
    yield f".SS {context.command_path.removeprefix('vrcodec ')}"
    yield _synopsis(command, context)
    yield from (line for text in _prose(_paragraphs(command)) for line in (".PP", text))
    yield from _options(command, context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            subcommand = command.commands[name]
            yield from _command(subcommand, click.Context(subcommand, context, name))


def _synopsis(command: click.Command, context: click.Context) -> str:
    pieces = " ".join(command.collect_usage_pieces(context))
    return rf"\fB{context.command_path}\fR {_escape(pieces)}"


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    for title, records in grouped_options(command, context).items():
        if isinstance(command, GroupedCommand):
            yield from (".PP", rf"\fI{_escape(title)}\fR")
        for term, text in records:
            names, _, metavar = re.split(r"( (?!-)|$)", term, maxsplit=1)
            yield from _item(names, re.sub(r"\s+", " ", text), metavar)


def _item(term: str, text: str, metavar: str = "") -> Iterator[str]:
    yield ".TP"
    yield rf"\fB{_escape(term)}\fR" + (rf" \fI{_escape(metavar)}\fR" if metavar else "")
    # groff and mandoc warn about a tag without a body.
    yield _escape(text) or r"\&"


def _exit_codes(text: str) -> Iterator[str]:
    for code, meaning in re.findall(r"(\d+) (.+?)(?:, (?=\d)|\.$)", text.removeprefix(_CODES)):
        yield from _item(code, meaning[0].upper() + meaning[1:] + ".")


def _examples() -> Iterator[str]:
    for number, (purpose, commands) in enumerate(EXAMPLES.items()):
        if number:
            yield ".PP"
        yield from (_escape(purpose), ".PP", ".RS 4", ".nf")
        yield from map(_escape, commands)
        yield from (".fi", ".RE")


def _paragraphs(command: click.Command) -> list[str]:
    """The paragraphs of the help text, each on one line."""
    text = inspect.cleandoc(command.help or "")
    return [" ".join(paragraph.split()) for paragraph in text.split("\n\n")]


def _prose(paragraphs: list[str]) -> list[str]:
    return [_escape(paragraph) for paragraph in paragraphs]


def _escape(text: str) -> str:
    """Text as roff source, also at the beginning of a line; what is in `backquotes` becomes bold."""
    parts = [part.translate(_ESCAPES) for part in re.split(r"`([^`]+)`", text)]
    joined = "".join(rf"\fB{part}\fR" if i % 2 else part for i, part in enumerate(parts))
    return rf"\&{joined}" if joined.startswith(".") else joined


if __name__ == "__main__":
    print(build_manual(), end="")
