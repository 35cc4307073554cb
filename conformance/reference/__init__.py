"""A decoder of .vrc files that is written from docs/FORMAT.md and docs/NETWORKS.md alone.

    python -m conformance.reference FILE [OUTPUT.png]

It shows that these pages suffice: it knows nothing else, and imports nothing of vrcodec. It is slow. Arrays are
(channels, rows, columns), and all real numbers float64.
"""
