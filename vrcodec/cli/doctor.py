"""`vrcodec doctor`"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from vrcodec.cli.shared import options, output

if TYPE_CHECKING:
    from vrcodec.doctor import Diagnosis


@click.command()
@options.device_option
@options.threads_option
@options.json_option
@options.verbosity_options
def command(device: str, threads: int | None, as_json: bool) -> int:
    """Check this installation, and show what belongs into a report of a fault.

    Versions, devices and their arithmetic, the entropy coder, every weights file, a round trip with each model,
    and speed. Exit code 1 when something is wrong.
    """
    options.set_threads(threads)
    from vrcodec.doctor import diagnose

    found = diagnose(device)
    if as_json:
        output.print_json(found.as_dict())
    else:
        output.print_fields(_fields(found))
    wrong = [check.name for check in found.checks if not check.ok]
    if wrong:
        output.error(f"not as it must be: {', '.join(wrong)}")
    return 1 if wrong else 0


def _fields(found: Diagnosis) -> dict[str, str]:
    about = {name: str(value) for name, value in found.machine.items()}
    checks = {c.name: c.words if c.ok else f"WRONG: {c.words}" for c in found.checks}
    folders = {"weights from": ", ".join(found.weights_folders)}
    return {**found.versions, **about, **found.environment, **folders, **checks}
