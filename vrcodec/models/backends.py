"""Which library computes: PyTorch where it is installed, else NumPy; or the one that was asked for."""

from __future__ import annotations

import os

from vrcodec.engine import Engine
from vrcodec.errors import DeviceError, UsageError
from vrcodec.extras import is_installed, missing
from vrcodec.models.place import NUMPY_BACKEND, Backend

LIBRARIES = ("auto", "numpy", "torch")
LIBRARY_VARIABLE = "VRCODEC_ENGINE"


def has_torch() -> bool:
    """Whether PyTorch is installed."""
    return is_installed("torch")


def choose_backend(library: str = "auto", device: str = "auto", precision: str = "auto") -> Backend:
    """The backend for what was asked for.

    ``library``: ``numpy``, ``torch``, or ``auto``: what ``VRCODEC_ENGINE`` says, or else PyTorch where there is
    any. ``device`` and ``precision``: as for `vrcodec.models.device.torch_backend`. Raises UsageError for other
    names, and for what NumPy cannot do, and DeviceError where the device or PyTorch is missing.
    """
    if library == "auto":
        library = os.environ.get(LIBRARY_VARIABLE, "auto")
    if library not in LIBRARIES:
        raise UsageError(f"unknown engine {library!r}; use {', '.join(LIBRARIES)}")
    needs_torch = device.startswith("cuda") or precision == "bfloat16"
    if library == "auto":
        library = "torch" if has_torch() or needs_torch else "numpy"
    if library == "numpy":
        _check_numpy(device, precision)
        return NUMPY_BACKEND
    if not has_torch():
        what = f"the device {device}" if device.startswith("cuda") else "the engine torch"
        raise DeviceError(missing("torch", "torch", what))
    from vrcodec.models.device import torch_backend

    return torch_backend(device, precision)


def on_gpu(engine: Engine) -> bool:
    """Whether networks run on a GPU. Raises as `choose_backend` does."""
    device = choose_backend(engine.library, engine.device).device
    return device is not None and device.type == "cuda"


def set_threads(count: int) -> None:
    """Let networks compute with ``count`` threads in this process, by either library."""
    from vrcodec.kernels.workers import WORKERS

    WORKERS.set_count(count)
    if has_torch():
        import torch

        torch.set_num_threads(count)


def get_threads() -> int:
    """How many threads networks compute with."""
    if has_torch():
        import torch

        return torch.get_num_threads()
    from vrcodec.kernels.workers import WORKERS

    return WORKERS.count


def _check_numpy(device: str, precision: str) -> None:
    if device not in ("auto", "cpu"):
        raise UsageError(f"the engine numpy has no device {device!r}; --engine torch has")
    if precision == "bfloat16":
        raise UsageError("the engine numpy computes in float32; bfloat16 needs --engine torch")
