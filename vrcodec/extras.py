"""Packages that a plain installation does not have, and what needs them."""

from __future__ import annotations

import os
from importlib.util import find_spec

from vrcodec.errors import DeviceError, UsageError

_NAMES = {"torch": "PyTorch"}


def is_installed(module: str) -> bool:
    """Whether the module called ``module`` can be imported."""
    return find_spec(module) is not None


def require(module: str, extra: str, what: str) -> None:
    """Raise UsageError, with the command that installs it, where ``what`` needs a module that is not there.

    Raises DeviceError where PyTorch would end the process: without a working folder.
    """
    if not is_installed(module):
        raise UsageError(missing(module, extra, what))
    if module == "torch":
        require_working_folder("PyTorch")


def require_working_folder(what: str) -> None:
    """Raise DeviceError where the working folder has been removed, and ``what`` needs one."""
    if not has_working_folder():
        raise DeviceError(f"the working folder is gone, and {what} needs one; change to another")


def has_working_folder() -> bool:
    """Whether the working folder has not been removed."""
    try:
        os.getcwd()
    except OSError:
        return False
    return True


def missing(module: str, extra: str, what: str) -> str:
    """The words for that."""
    name = _NAMES.get(module, f"the package {module}")
    return f"{what} needs {name}: pip install 'vrcodec[{extra}]'"
