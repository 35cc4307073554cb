"""python -m conformance: hold a decoder against the set."""

from __future__ import annotations

import argparse
import os
import sys

from conformance.cases import CASES, Decoded, Refused, load_cases
from conformance.runner import Command, check_all


def main() -> int:
    """Print a line for each case; the exit code is 1 where one failed."""
    parser = argparse.ArgumentParser(prog="python -m conformance", description=__doc__)
    parser.add_argument(
        "command",
        help='decodes to a PNG, with {input} and {output} in it: "vrcodec decode {input} -o {output}"',
    )
    parser.add_argument("--partial", help="the same for files that end early", metavar="COMMAND")
    parser.add_argument("--symbols", help="prints the SHA-256 of the symbols", metavar="COMMAND")
    parser.add_argument("--only", help="cases whose file has this in its name", default="")
    parser.add_argument("--timeout", help="seconds for a command", type=float, default=60.0)
    options = parser.parse_args()
    decode, partial, symbols = (
        Command(template, options.timeout) if template else None
        for template in (options.command, options.partial, options.symbols)
    )
    assert decode is not None
    cases = load_cases()
    chosen: list[Decoded | Refused] = [*cases.decoded, *cases.refused]
    results = check_all(
        [case for case in chosen if options.only in case.file.name],
        decode.decode,
        partial.decode if partial else None,
        symbols.print_symbols if symbols else None,
    )
    count = failures = 0
    for result in results:
        count += 1
        failures += result.problem is not None
        name = os.path.relpath(result.file, CASES.parent)
        print(
            f"{'ok' if result.problem is None else 'FAILED':8}{name:48}{result.problem or ''}".rstrip()
        )
    print(f"{count - failures} of {count} passed")
    return 1 if failures or not count else 0


if __name__ == "__main__":
    sys.exit(main())
