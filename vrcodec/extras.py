"""Packages that a plain installation does not have, and what needs them."""

from __future__ import annotations

from importlib.util import find_spec

from vrcodec.errors import UsageError

_NAMES = {"torch": "PyTorch"}


def is_installed(module: str) -> bool:
    """Whether the module called ``module`` can be imported."""
    return find_spec(module) is not None


def require(module: str, extra: str, what: str) -> None:
    """Raise UsageError, with the command that installs it, where ``what`` needs a module that is not there."""
    if not is_installed(module):
        raise UsageError(missing(module, extra, what))


def missing(module: str, extra: str, what: str) -> str:
    """The words for that."""
    name = _NAMES.get(module, f"the package {module}")
    return f"{what} needs {name}: pip install 'vrcodec[{extra}]'"
