"""Entry point: finds the command, and turns every error into a message and an exit code."""

from __future__ import annotations

import atexit
import contextlib
import errno
import os
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

import click

from vrcodec import __version__
from vrcodec.cli.shared import output, signals
from vrcodec.errors import OutputError, VrcError

COMMANDS = (
    "encode",
    "decode",
    "info",
    "verify",
    "view",
    "models",
    "batch",
    "qmap",
    "bench",
    "train",
    "doctor",
)

EXIT_INTERNAL = 1
# What a shell reports for a process that the closed pipe itself ended.
EXIT_CLOSED_PIPE = 141


class ClosedPipeError(Exception):
    """The reader of standard output has closed the pipe."""


class LazyGroup(click.Group):
    """Imports a command's module when that command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the commands, the usual ones first."""
        return list(COMMANDS)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; click would turn a closed pipe into exit code 1."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise ClosedPipeError from error

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command object, or None for an unknown name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"vrcodec.cli.{cmd_name}").command
        return command


_HELP = """Learned image compression with one continuous rate.

Exit codes: 0 success, 1 some inputs failed, 2 usage, 3 not readable as a picture, 4 not a vrc file
or unsupported, 5 corrupt or truncated, 6 weights missing or different, 7 over a limit, 8 target not
reachable, 9 cannot write or exists, 10 device, 130 interrupted.
"""


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]}, help=_HELP)
@click.version_option(__version__, prog_name="vrcodec")
def cli() -> None:
    """Run the command."""


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    try:
        result = cli.main(
            list(arguments) if arguments is not None else None,
            prog_name="vrcodec",
            standalone_mode=False,
        )
        if sys.stdout is not None:
            with output.to_stdout():
                sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        output.error("interrupted")
        return signals.EXIT_INTERRUPTED
    except (ClosedPipeError, BrokenPipeError):
        _abandon_stdout()
        return EXIT_CLOSED_PIPE
    except output.StdoutError as error:
        _abandon_stdout()
        return output.report(error)
    except VrcError as error:
        return output.report(error)
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            # Files have their own messages; this was other output, such as help redirected into a file.
            _abandon_stdout()
            return output.report(OutputError(f"<stdout>: cannot be written: {error.strerror}"))
        output.error(f"internal error: {type(error).__name__}: {error}; -vv shows where")
        if output.verbosity >= output.DEBUG:
            raise
        return EXIT_INTERNAL


def _abandon_stdout() -> None:
    """Redirect stdout to nowhere: the interpreter must not fail at exit when it flushes the rest."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main() -> None:
    """Run the command line, and exit."""
    signals.install()
    # Where Pillow warns about a file, this program has its own message.
    warnings.filterwarnings("ignore", module="PIL")
    code = run()
    signals.ignore()
    _exit(code)


def _exit(code: int) -> NoReturn:
    """Exit without tearing torch down: that takes 0.4 s, for memory that is freed anyway."""
    if "torch" in sys.modules:
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            # What could not be written has been reported.
            with contextlib.suppress(OSError, ValueError, AttributeError):
                stream.flush()
        os._exit(code)
    sys.exit(code)
