"""Which library computes: PyTorch where it is installed, else NumPy; or the one that was asked for."""

from __future__ import annotations

import os
import sys

from vrcodec.engine import DEFAULT_ENGINE, Engine
from vrcodec.errors import DeviceError, UsageError
from vrcodec.extras import has_working_folder, is_installed, missing
from vrcodec.models.place import NUMPY_BACKEND, Backend

LIBRARIES = ("auto", "numpy", "torch")
LIBRARY_VARIABLE = "VRCODEC_ENGINE"
# Pixels from which on a command with PyTorch, which takes a second to load, is done before one with NumPy.
# Measured on two cores with AVX-512 (docs/PLATFORMS.md).
WORTH_LOADING_TORCH = 4_000_000


def has_torch() -> bool:
    """Whether PyTorch is installed."""
    return is_installed("torch")


def choose_backend(engine: Engine = DEFAULT_ENGINE, pixels: int | None = None) -> Backend:
    """The backend for what was asked for. ``pixels``: of the picture, where that is known.

    Raises UsageError for unknown names, and for what NumPy cannot do, and DeviceError where the device or
    PyTorch is missing.
    """
    library, why = _choose_library(engine, pixels)
    if engine.say:
        engine.say(f"engine {library}: {why}")
    if library == "numpy":
        _check_numpy(engine.device, engine.precision)
        return NUMPY_BACKEND
    if not has_torch():
        cuda = engine.device.startswith("cuda")
        what = f"the device {engine.device}" if cuda else "the engine torch"
        raise DeviceError(missing("torch", "torch", what))
    if not has_working_folder():
        # MKL would end the process.
        raise DeviceError(
            "the working folder is gone, and PyTorch needs one; change to another, or use --engine numpy"
        )
    try:
        from vrcodec.models.device import torch_backend
    except (ImportError, OSError) as error:
        raise DeviceError(
            f"PyTorch cannot be loaded: {error}; --engine numpy computes without it, in less memory"
        ) from error
    return torch_backend(engine.device, engine.precision)


def _choose_library(engine: Engine, pixels: int | None) -> tuple[str, str]:
    """The library, and why it is chosen. Raises UsageError for an unknown name."""
    library, why = engine.library, "as --engine says"
    if library == "auto":
        library, why = os.environ.get(LIBRARY_VARIABLE) or "auto", f"as {LIBRARY_VARIABLE} says"
    if library not in LIBRARIES:
        raise UsageError(f"unknown engine {library!r}, {why}; use {', '.join(LIBRARIES)}")
    if library != "auto":
        return library, why
    if engine.device.startswith("cuda") or engine.precision == "bfloat16":
        return "torch", f"for {engine.device}, {engine.precision}"
    if not has_torch():
        return "numpy", "PyTorch is not installed"
    small = pixels is not None and pixels < WORTH_LOADING_TORCH
    if small and engine.single and "torch" not in sys.modules:
        return "numpy", "the picture is too small to be worth loading PyTorch"
    return "torch", "PyTorch is installed"


def on_gpu(engine: Engine) -> bool:
    """Whether networks run on a GPU. Raises as `choose_backend` does."""
    device = choose_backend(engine).device
    return device is not None and device.type == "cuda"


def set_threads(count: int) -> None:
    """Let networks compute with ``count`` threads in this process, by either library.

    PyTorch is not loaded for that: where it is not there yet, it is told by the variables that it reads when
    it is loaded.
    """
    from vrcodec.kernels.workers import WORKERS

    WORKERS.set_count(count)
    if sys.modules.get("torch") is not None:
        import torch

        torch.set_num_threads(count)
    else:
        os.environ.update(OMP_NUM_THREADS=str(count), MKL_NUM_THREADS=str(count))


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
