"""vrcodec: a learned image codec with one continuous rate.

    data = vrcodec.encode(image, rate=0.6)     # bytes of a .vrc file
    image = vrcodec.decode(data)               # a PIL.Image.Image
    info = vrcodec.inspect(data)               # header and sizes; loads no network
    image = vrcodec.open("picture.vrc")
    levels = vrcodec.quality_map(data)         # rates over the picture, of the model qmap

Importing this package is cheap: torch is loaded by the first call that needs it.
"""

from __future__ import annotations

# In place of that of `typing`, whose import takes longest of all: Ctrl-C at that moment would show a traceback.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from vrcodec.api import decode, encode, inspect, open, quality_map

__version__ = "1.0.0rc1"

__all__ = ["decode", "encode", "inspect", "open", "quality_map"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from vrcodec import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
