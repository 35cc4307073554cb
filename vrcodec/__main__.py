"""The command `vrcodec`, also as `python -m vrcodec`."""

from __future__ import annotations

import signal


def main() -> None:
    """Console script."""
    # While modules are imported, Ctrl-C ends the process at once: nothing to clean up, and no traceback.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from vrcodec.cli.main import main as command_line

    command_line()


if __name__ == "__main__":
    main()
