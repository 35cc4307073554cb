"""The machine and the library versions of a measurement."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from PIL import features

from vrcodec import __version__
from vrcodec.engine import Engine
from vrcodec.models.backends import choose_backend

_PACKAGES = (
    "torch",
    "numpy",
    "pillow",
    "constriction",
    "bjontegaard",
    "piq",
    "pillow-heif",
    "pillow-jxl-plugin",
    "mozjpeg-lossless-optimization",
)
_CPUINFO = Path("/proc/cpuinfo")


def describe_machine(engine: Engine, threads: int) -> dict[str, Any]:
    """Processor, cores, threads in use, accelerator, operating system."""
    backend = choose_backend(engine)
    described: dict[str, Any] = {
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "threads": threads,
        "engine": backend.kernels.name,
        "device": str(backend.device or "cpu"),
        "system": f"{platform.system()} {platform.machine()}",
    }
    if described["device"].startswith("cuda"):
        import torch

        described["accelerator"] = torch.cuda.get_device_name(described["device"])
    return described


def _cpu_name() -> str:
    if _CPUINFO.exists():
        for line in _CPUINFO.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def library_versions() -> dict[str, str]:
    """Versions of this program, Python, packages and the image libraries within Pillow."""
    versions = {"vrcodec": __version__, "python": ".".join(map(str, sys.version_info[:3]))}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    for feature in ("libjpeg_turbo", "webp", "avif", "jpg_2000"):
        version = features.version(feature)
        if version:
            versions[feature] = version
    return versions
