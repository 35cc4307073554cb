"""Which weights there are, by family or id: those that are installed, along a search path.

Reads cards and headers only, without torch.
"""

from vrcodec.catalog.identity import (
    HEADER_LENGTH_BYTES,
    ID_BYTES,
    METADATA_KEY,
    check_weights,
    encoder_path,
    weights_description,
    weights_id,
)
from vrcodec.catalog.installed import (
    DEFAULT_MODEL,
    DEFAULT_TUNE,
    WEIGHTS_VARIABLE,
    WeightsEntry,
    find_by_family,
    find_by_id,
    installed_weights,
    search_path,
)

__all__ = [
    "DEFAULT_MODEL",
    "DEFAULT_TUNE",
    "HEADER_LENGTH_BYTES",
    "ID_BYTES",
    "METADATA_KEY",
    "WEIGHTS_VARIABLE",
    "WeightsEntry",
    "check_weights",
    "encoder_path",
    "find_by_family",
    "find_by_id",
    "installed_weights",
    "search_path",
    "weights_description",
    "weights_id",
]
