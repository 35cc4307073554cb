"""The rANS coder that is used: the compiled one where its package is installed, else the plain one."""

from __future__ import annotations

try:
    from vrcodec.bitstream.compiled_ans import CompiledAnsCoder as AnsCoder
    from vrcodec.bitstream.compiled_ans import Table
except ImportError:
    from vrcodec.bitstream.plain_ans import (  # type: ignore[assignment]
        PlainAnsCoder as AnsCoder,
    )
    from vrcodec.bitstream.plain_ans import Table  # type: ignore[assignment]

__all__ = ["AnsCoder", "Table"]
