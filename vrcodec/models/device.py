"""PyTorch as a backend: devices, precision, and a known-answer test of float64."""

from __future__ import annotations

from functools import cache

import torch
from torch.nn import functional as F

from vrcodec.errors import DeviceError, UsageError
from vrcodec.kernels.torch_kernels import TORCH
from vrcodec.models.place import Backend

# Correct float64 convolutions differ by about 1e-15; single precision differs by 1e-7.
_TOLERANCE = 1e-11


def torch_backend(
    device: torch.device | str = "cpu", precision: str = "auto", exact_type: str = "float64"
) -> Backend:
    """PyTorch on ``device``. ``precision`` of the transforms: ``auto``, ``float32`` or ``bfloat16``.

    Raises UsageError or DeviceError as `resolve_device` does.
    """
    device = resolve_device(device) if isinstance(device, str) else device
    branch_type = str(float_dtype(device, precision)).removeprefix("torch.")
    return Backend(TORCH, device, exact_device(device), branch_type, exact_type)


def resolve_device(name: str) -> torch.device:
    """``auto``, ``cpu``, ``cuda`` or ``cuda:n`` -> a device that exists.

    Raises UsageError for another name, DeviceError for a device that is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda") or (number and not number.isdecimal()):
        raise UsageError(f"unknown device {name!r}; use auto, cpu, cuda or cuda:N")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise DeviceError(
            f"no device {name!r}: {torch.cuda.device_count()} CUDA devices are visible; "
            "use --device auto or cpu"
        )
    return torch.device(name)


@cache
def exact_device(device: torch.device) -> torch.device:
    """Where the float64 part runs: ``device`` if it passes a known-answer test, else the CPU."""
    if device.type == "cpu":
        return device
    return device if _computes_float64(device) else torch.device("cpu")


def _computes_float64(device: torch.device) -> bool:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 16, 8, 8, generator=generator, dtype=torch.float64)
    kernel = torch.randn(16, 16, 3, 3, generator=generator, dtype=torch.float64)
    try:
        expected = F.conv2d(x, kernel, padding=1)
        computed = F.conv2d(x.to(device), kernel.to(device), padding=1).cpu()
    except (RuntimeError, TypeError):
        return False
    return bool((computed - expected).abs().max() < _TOLERANCE)


def float_dtype(device: torch.device, precision: str) -> torch.dtype:
    """Type of the float part: ``auto``, ``float32`` or ``bfloat16``.

    ``auto`` is bfloat16 where the processor multiplies it in hardware, else float32.
    """
    if precision == "float32":
        return torch.float32
    if precision == "bfloat16" or _has_fast_bfloat16(device):
        return torch.bfloat16
    return torch.float32


def mixed_precision(device: torch.device) -> torch.autocast:
    """A context in which networks compute as in coding: in bfloat16 where the processor multiplies it.

    Elsewhere bfloat16 is emulated, and a step of training takes many times as long as in float32.
    """
    dtype = float_dtype(device, "auto")
    return torch.autocast(device.type, dtype, enabled=dtype == torch.bfloat16)


def _has_fast_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return False
