"""Costs of whole commands: cold start against `import torch`, and peak memory by picture size.

python -m benchmarks.command_costs
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.timing import photograph

_COLD_REPEATS = 5
_KIB_PER_MIB = 1024
# Width and height: 1, 12 and 50 megapixels.
SIZES = {1: (1250, 800), 12: (4000, 3000), 50: (8600, 5800)}


def measure_cold_starts() -> dict[str, float]:
    """Median seconds of whole processes, in turns, so that all see the same machine."""
    with tempfile.TemporaryDirectory() as folder:
        png, vrc = Path(folder, "a.png"), Path(folder, "a.vrc")
        photograph().to_image().save(png)
        run_process("-m", "vrcodec", "encode", str(png), "-q")
        torch = ("--engine", "torch")
        commands = {
            "import torch": ["-c", "import torch"],
            "encode": ["-m", "vrcodec", "encode", str(png), "-f", "-q", *torch],
            "decode": [
                *("-m", "vrcodec", "decode", str(vrc), "-f", "-q", "-o", f"{folder}/b.png"),
                *torch,
            ],
            "info": ["-m", "vrcodec", "info", str(vrc)],
            "--help": ["-m", "vrcodec", "--help"],
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(_COLD_REPEATS):
            for name, arguments in commands.items():
                times[name].append(run_process(*arguments)[0])
    return {name: round(statistics.median(values), 3) for name, values in times.items()}


def measure_memory() -> list[dict[str, Any]]:
    """Peak memory and seconds of encode and decode commands, by megapixels."""
    rows = []
    for megapixels, (width, height) in SIZES.items():
        with tempfile.TemporaryDirectory() as folder:
            ppm, vrc = Path(folder, "a.ppm"), Path(folder, "a.vrc")
            photograph(width, height).to_image().save(ppm)
            quiet = ("-q", "--engine", "torch")
            encode = run_process("-m", "vrcodec", "encode", str(ppm), *quiet)
            decoded = ("-o", f"{folder}/b.ppm")
            decode = run_process("-m", "vrcodec", "decode", str(vrc), *decoded, *quiet)
        for name, (seconds, mib) in (("encode", encode), ("decode", decode)):
            rows.append(
                {
                    "megapixels": megapixels,
                    "command": name,
                    "seconds": round(seconds, 2),
                    "peak_mib": round(mib),
                    "mib_per_megapixel": round(mib / (width * height / 1e6), 1),
                }
            )
    return rows


# A process begins with its parent's peak of memory, so a small one stands between.
_LAUNCHER = """
import json, os, subprocess, sys, time
start = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
seconds, code = time.perf_counter() - start, os.waitstatus_to_exitcode(status)
print(json.dumps([seconds, usage.ru_utime + usage.ru_stime, code, usage.ru_maxrss]))
"""


def run_process(*arguments: str) -> tuple[float, float]:
    """Seconds and peak resident MiB of a process of this interpreter. Raises CalledProcessError."""
    seconds, _, mib = timed_process(*arguments)
    return seconds, mib


def timed_process(*arguments: str) -> tuple[float, float, float]:
    """Seconds, seconds of the processor and peak resident MiB of a process. Raises CalledProcessError."""
    command = [sys.executable, "-I", "-c", _LAUNCHER, sys.executable, *arguments]
    result = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    seconds, cpu_seconds, code, kib = json.loads(result.stdout)
    if code:
        raise subprocess.CalledProcessError(code, arguments)
    return seconds, cpu_seconds, kib / _KIB_PER_MIB


if __name__ == "__main__":
    print(json.dumps({"cold": measure_cold_starts(), "memory": measure_memory()}, indent=1))
