"""A state of our own for what PyTorch and NumPy keep for a process or thread: the caller's does not matter.

Inside `no_grad`, `inference_mode`, autocast, or with another default device or type, the same calls would give
other results or fail, and models loaded then would stay as they are. And a forked child must not wait for
threads that only its parent has.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import numpy as np

P = ParamSpec("P")
R = TypeVar("R")

_NUMPY_ERRORS: dict[str, Any] = {
    "divide": "warn",
    "over": "warn",
    "under": "ignore",
    "invalid": "warn",
}
_inside: ContextVar[bool] = ContextVar("inside", default=False)
_forked = False


def _note_fork() -> None:
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


@contextmanager
def own_state() -> Iterator[None]:
    """The body runs with PyTorch and NumPy as they are at their start; behind it, everything is as before."""
    with np.errstate(**_NUMPY_ERRORS), _own_state_of_torch():
        yield


@contextmanager
def _own_state_of_torch() -> Iterator[None]:
    # Where PyTorch is not loaded yet, nobody can have changed it.
    if _inside.get() or sys.modules.get("torch") is None:
        yield
        return
    token = _inside.set(True)
    try:
        with ExitStack() as stack:
            _enter_modes(stack)
            _enter_defaults(stack)
            yield
    finally:
        _inside.reset(token)


def _enter_modes(stack: ExitStack) -> None:
    import torch

    stack.enter_context(torch.inference_mode(False))
    stack.enter_context(torch.enable_grad())
    for device_type in ("cpu", "cuda"):
        if torch.is_autocast_enabled(device_type):
            stack.enter_context(torch.autocast(device_type, enabled=False))


def _enter_defaults(stack: ExitStack) -> None:
    import torch

    # Only where they differ: a default device costs something with every call, and types are the process's.
    if torch.get_default_device().type != "cpu":
        stack.enter_context(torch.device("cpu"))
    dtype, threads = torch.get_default_dtype(), torch.get_num_threads()
    if dtype != torch.float32:
        torch.set_default_dtype(torch.float32)
        stack.callback(torch.set_default_dtype, dtype)
    if _forked and threads > 1:
        # The pool of threads has not come along, and whoever waits for it waits for ever.
        torch.set_num_threads(1)
        stack.callback(torch.set_num_threads, threads)


def in_own_state(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator: run a function in `own_state`."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with own_state():
            return function(*args, **kwargs)

    return run
