"""The folders where weights are looked for."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path

WEIGHTS_VARIABLE = "VRCODEC_WEIGHTS"


def named_folders() -> list[Path]:
    """Those of ``VRCODEC_WEIGHTS``, each once."""
    variable = os.environ.get(WEIGHTS_VARIABLE, "")
    first: dict[str, Path] = {}
    for part in variable.split(os.pathsep):
        if part:
            first.setdefault(os.path.realpath(part), Path(part))
    return list(first.values())


def store_folder() -> Path:
    """The user's own, where `vrcodec weights` keeps what it fetches: a folder for each id."""
    # As long to load as all the rest of this module, and not needed by many commands.
    import platformdirs

    return platformdirs.user_data_path("vrcodec", appauthor=False) / "weights"


def packaged_folder() -> Path:
    """That of the package."""
    try:
        return Path(str(resources.files("vrcodec.shipped_weights")))
    except ModuleNotFoundError:
        # In a checkout that is not installed, the folder lies beside the package.
        return Path(__file__).parents[2] / "weights"


def same_folder(a: Path, b: Path) -> bool:
    """Whether both are the same, by whatever names."""
    return os.path.realpath(a) == os.path.realpath(b)


def search_path() -> list[Path]:
    """All of them, in the order in which they are searched, each once."""
    folders = [*named_folders(), store_folder(), packaged_folder()]
    first = {os.path.realpath(folder): folder for folder in reversed(folders)}
    return [folder for folder in folders if first.get(os.path.realpath(folder)) is folder]
