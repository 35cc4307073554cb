"""A conformance set of .vrc files, a runner that holds any decoder against it, and a reference decoder.

    python -m conformance "vrcodec decode {input} -o {output}"

README.md beside this file says what is in the set and what the runner compares.
"""
