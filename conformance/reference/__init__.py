"""A decoder of .vrc files that is written from docs/FORMAT.md alone.

    python -m conformance.reference FILE [OUTPUT.png]

It shows that this page suffices: it knows nothing else, and imports nothing of vrcodec. It is slow. Arrays are
(channels, rows, columns), and all real numbers float64.
"""
