"""Which weights there are, by family or id: those that are installed, and those that were released.

Reads cards and headers only, without torch.
"""

from vrcodec.catalog.folders import (
    WEIGHTS_VARIABLE,
    named_folders,
    packaged_folder,
    same_folder,
    search_path,
    store_folder,
)
from vrcodec.catalog.identity import (
    HEADER_LENGTH_BYTES,
    ID_BYTES,
    METADATA_KEY,
    check_weights,
    encoder_path,
    weights_description,
    weights_id,
)
from vrcodec.catalog.index import (
    FILE_BYTES_MAX,
    INDEX_NAME,
    PARTS,
    Index,
    Release,
    ReleasedFile,
    build_index,
    find_release,
    parse_id,
    parse_index,
    shipped_index,
)
from vrcodec.catalog.installed import (
    DEFAULT_MODEL,
    DEFAULT_TUNE,
    WeightsEntry,
    find_by_family,
    find_by_id,
    installed_weights,
    read_card,
)
from vrcodec.catalog.wanted import Wanted

__all__ = [
    "DEFAULT_MODEL",
    "DEFAULT_TUNE",
    "FILE_BYTES_MAX",
    "HEADER_LENGTH_BYTES",
    "ID_BYTES",
    "INDEX_NAME",
    "METADATA_KEY",
    "PARTS",
    "WEIGHTS_VARIABLE",
    "Index",
    "Release",
    "ReleasedFile",
    "Wanted",
    "WeightsEntry",
    "build_index",
    "check_weights",
    "encoder_path",
    "find_by_family",
    "find_by_id",
    "find_release",
    "installed_weights",
    "named_folders",
    "packaged_folder",
    "parse_id",
    "parse_index",
    "read_card",
    "same_folder",
    "search_path",
    "shipped_index",
    "store_folder",
    "weights_description",
    "weights_id",
]
