"""The command `vrcodec`, also as `python -m vrcodec`."""

from __future__ import annotations

# Beneath `signal`, whose own import takes a moment in which Ctrl-C would show a traceback.
import _signal  # type: ignore[import-not-found]


def main() -> None:
    """Console script."""
    # While modules are imported, Ctrl-C ends the process at once: nothing to clean up, and no traceback.
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    from vrcodec.cli.main import main as command_line

    command_line()


if __name__ == "__main__":
    main()
