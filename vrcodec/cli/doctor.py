"""`vrcodec doctor`"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vrcodec.cli.shared import options, output
from vrcodec.cli.shared.option_groups import MESSAGES, OUTPUT, RUNNING, GroupedCommand, option_group
from vrcodec.engine import Engine
from vrcodec.extras import has_working_folder

if TYPE_CHECKING:
    from vrcodec.doctor import Diagnosis


_HELP = """Check this installation, and show what belongs into a report of a fault.

Versions, devices and their arithmetic, the entropy coder, every weights file, a round trip with each model,
and speed. Exit code 1 when something is wrong.
"""


@click.command(cls=GroupedCommand, help=_HELP)
@option_group(OUTPUT, options.json_option)
@option_group(RUNNING, options.device_option, options.threads_option, options.engine_option)
@option_group(MESSAGES, options.verbosity_options)
def command(device: str, threads: int | None, library: str, as_json: bool) -> int:
    """Run the command."""
    _leave_missing_folder()
    options.set_threads(threads)
    from vrcodec.doctor import diagnose

    diagnosis = diagnose(Engine(device, library=library))
    if as_json:
        output.print_json(diagnosis.as_dict())
    else:
        output.print_fields(_fields(diagnosis))
    failed = [check.name for check in diagnosis.checks if not check.ok]
    if failed:
        output.error(f"not as it must be: {', '.join(failed)}")
    return 1 if failed else 0


def _leave_missing_folder() -> None:
    """Enter another one where the working folder is gone: MKL would end the process."""
    if not has_working_folder():
        os.chdir(Path(__file__).parent)


def _fields(diagnosis: Diagnosis) -> dict[str, str]:
    machine = {name: str(value) for name, value in diagnosis.machine.items()}
    checks = {c.name: c.words if c.ok else f"WRONG: {c.words}" for c in diagnosis.checks}
    folders = {"weights from": ", ".join(diagnosis.weights_folders)}
    return {**diagnosis.versions, **machine, **diagnosis.environment, **folders, **checks}
