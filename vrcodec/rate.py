"""The rate: a number in [0, 1] for people, a 16-bit code in the file."""

from __future__ import annotations

from vrcodec.errors import UsageError

RATE_CODE_MAX = 65535


def rate_from_code(code: int) -> float:
    """The rate r that both sides derive from the 16-bit code in the file."""
    return code / RATE_CODE_MAX


def code_from_rate(rate: float) -> int:
    """Nearest 16-bit code of r in [0, 1]. Raises UsageError outside."""
    if not 0.0 <= rate <= 1.0:
        raise UsageError(f"a rate must lie between 0 and 1, and {rate} does not")
    return round(rate * RATE_CODE_MAX)
