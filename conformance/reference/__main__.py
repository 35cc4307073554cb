"""python -m conformance.reference: decode a file to a PNG, or hash its symbols."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from conformance.reference.container import RefusedError
from conformance.reference.networks import WEIGHTS
from conformance.reference.picture import decode, write_png


def main() -> int:
    """Decode a file to a PNG, or print the SHA-256 of its symbols."""
    parser = argparse.ArgumentParser(prog="python -m conformance.reference")
    parser.add_argument("input", type=Path)
    parser.add_argument(
        "output", nargs="?", help="a PNG; without one the SHA-256 of the symbols is printed"
    )
    parser.add_argument("--partial", action="store_true", help="the file may end early")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="the folder of weights files")
    options = parser.parse_args()
    try:
        picture = decode(options.input.read_bytes(), options.partial, options.weights)
    except RefusedError as error:
        print(f"{options.input}: {error}", file=sys.stderr)
        return 1
    if options.output:
        write_png(picture, options.output)
    else:
        print(picture.symbols)
    return 0


if __name__ == "__main__":
    sys.exit(main())
