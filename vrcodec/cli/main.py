"""Entry point: finds the command, and turns every error into a message and an exit code."""

from __future__ import annotations

import atexit
import contextlib
import errno
import io
import os
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

import click

from vrcodec import __version__
from vrcodec.cli.shared import output, signals
from vrcodec.errors import OutputError, VrcError, explain_shortage

COMMANDS = (
    "encode",
    "decode",
    "info",
    "verify",
    "view",
    "models",
    "weights",
    "batch",
    "qmap",
    "bench",
    "import",
    "train",
    "doctor",
)

# Where a module cannot have the name of its command.
_MODULES = {"import": "import_checkpoint"}

EXIT_INTERNAL = 1
# What a shell reports for a process that the closed pipe itself ended.
EXIT_CLOSED_PIPE = 141

# Of writing to a stream that takes nothing: the disk is full, the file at its limit, the terminal gone ...
_UNWRITABLE = frozenset({errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EIO, errno.EBADF})


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
        command: click.Command = import_module(
            f"vrcodec.cli.{_MODULES.get(cmd_name, cmd_name)}"
        ).command
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
        message = io.StringIO()
        error.show(message)
        output.show(message.getvalue().rstrip("\n"))
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        output.error("interrupted")
        return signals.EXIT_INTERRUPTED
    except (ClosedPipeError, BrokenPipeError):
        return EXIT_CLOSED_PIPE
    except VrcError as error:
        return output.report(error)
    except Exception as error:
        if problem := _blame_surroundings(error):
            problem.__cause__ = error
            return output.report(problem)
        output.error(f"internal error: {type(error).__name__}: {error}; -vv shows where")
        if output.verbosity >= output.DEBUG:
            raise
        return EXIT_INTERNAL


def _blame_surroundings(error: Exception) -> VrcError | None:
    """What to say of an error that can come from anywhere, and is no fault of the program; None for others."""
    if isinstance(error, OSError) and error.errno in _UNWRITABLE:
        # Files have their own messages; this was other output, such as help redirected into a file.
        return OutputError(f"<stdout>: cannot be written: {error.strerror}")
    return explain_shortage(error)


def main() -> None:
    """Run the command line, and exit."""
    _occupy_closed_descriptors()
    signals.install()
    _buffer_stdout()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Names that its encoding does not have are shown all the same.
        sys.stdout.reconfigure(errors="backslashreplace")
    if "_VRCODEC_COMPLETE" in os.environ:
        import_module("vrcodec.cli.shared.completion")
    # Where Pillow warns about a file, this program has its own message.
    warnings.filterwarnings("ignore", module="PIL")
    code = run()
    signals.ignore()
    _exit(code)


def _occupy_closed_descriptors() -> None:
    """Open what is closed of the descriptors 0 to 2: a file that is opened later must not pass for stderr."""
    with contextlib.suppress(OSError):
        while (handle := os.open(os.devnull, os.O_RDWR)) <= 2:
            os.set_inheritable(handle, True)
        os.close(handle)


def _buffer_stdout() -> None:
    """Put a buffer under standard output where there is none: `python -u`, PYTHONUNBUFFERED.

    What has none writes as much as fits, and nobody hears that the rest is lost.
    """
    if isinstance(getattr(sys.stdout, "buffer", None), io.RawIOBase):
        # Not in a `with`: it lives as long as the process.
        sys.stdout = open(  # noqa: SIM115
            sys.stdout.fileno(), "w", encoding=sys.stdout.encoding, buffering=1, closefd=False
        )


def _exit(code: int) -> NoReturn:
    """Exit without tearing torch down: that takes 0.4 s, for memory that is freed anyway.

    Nor would the interpreter leave the exit code as it is where it cannot write what is left for a stream.
    """
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        # What could not be written has been reported.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code)
