"""Help in groups: every option of every command is in one, once, and the manual page has the same."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from tools.manual import build_manual
from vrcodec.cli.main import COMMANDS, cli
from vrcodec.cli.shared.option_groups import MESSAGES, grouped_options


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command, with those of `batch`."""
    context = click.Context(cli, info_name="vrcodec")
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from ((f"{name} {inner}", command.commands[inner]) for inner in command.commands)
        else:
            yield name, command


WITH_OPTIONS = {name: command for name, command in commands() if name != "batch report"}


@pytest.mark.parametrize("name", WITH_OPTIONS)
def test_every_option_is_in_a_group(name: str) -> None:
    command = WITH_OPTIONS[name]
    for parameter in command.params:
        assert isinstance(parameter, click.Argument) or hasattr(parameter, "option_group"), (
            parameter
        )
    context = click.Context(command, info_name=name, help_option_names=["-h", "--help"])
    records = [record for group in grouped_options(command, context).values() for record in group]
    named = [
        parameter
        for parameter in command.get_params(context)
        if isinstance(parameter, click.Option)
    ]
    assert len(records) == len(named)
    assert all(text for _, text in records), "an option without a word of help"


def test_help_has_the_groups_and_each_option_once() -> None:
    text = CliRunner().invoke(cli, ["encode", "--help"]).output
    titles = re.findall(r"^([A-Z].*):$", text, re.MULTILINE)
    assert titles[0] == "Quality and targets"
    assert titles[-1] == MESSAGES
    assert len(titles) == len(set(titles)) > 5
    options = re.findall(r"^  (?:-\w, )?(--[a-z0-9-]+)", text, re.MULTILINE)
    assert options[0] == "--rate"
    assert len(options) == len(set(options)) >= 40


def test_the_manual_page_has_them() -> None:
    assert r"\fIQuality and targets\fR" in build_manual()
