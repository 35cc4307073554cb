"""Times and memory of one machine: warm and cold, with the float64 part by itself.

    python benchmarks/speed.py [PICTURE.png]

Without a picture, a 768x512 part of a photograph that scikit-image carries. Run it on an idle machine.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import skimage.data
import torch
from PIL import Image

from vrcodec.codec import Decoder, Encoder
from vrcodec.models.hyperprior import HyperpriorModel
from vrcodec.picture import Picture
from vrcodec.rate import RATE_CODE_MAX

RATE_CODE = RATE_CODE_MAX // 2


def main() -> None:
    pixels = _picture()
    picture = Picture.from_array(pixels)
    encoder, decoder = Encoder(), Decoder()
    data = encoder.encode(picture, RATE_CODE)
    model = encoder.model
    assert isinstance(model, HyperpriorModel)
    rate = model.rate_state(RATE_CODE)
    z_hat = model.quantised_hyper_latent(encoder.analyse(picture), rate)

    def float64_part() -> None:
        with torch.inference_mode():
            model.hyper_synthesis_net(z_hat)

    warm = {
        "encode": median(lambda: encoder.encode(picture, RATE_CODE)),
        "decode": median(lambda: decoder.decode(data)),
        "float64_part_of_either": median(float64_part),
    }
    report = {
        "picture": f"{picture.width}x{picture.height}",
        "threads": torch.get_num_threads(),
        "warm_seconds": warm,
        "cold_seconds": _cold(data, pixels),
        "peak_memory_mib_of_this_process": _peak(resource.RUSAGE_SELF),
        "peak_memory_mib_of_a_command": _peak(resource.RUSAGE_CHILDREN),
    }
    print(json.dumps(report, indent=1))


def _picture() -> np.ndarray:
    if len(sys.argv) > 1:
        return np.asarray(Image.open(sys.argv[1]).convert("RGB"))
    return np.tile(skimage.data.astronaut(), (1, 2, 1))[:, :768].copy()


def median(work: Callable[[], object], repeats: int = 15) -> float:
    """Median duration of ``work`` in seconds, after two unmeasured calls."""
    durations = []
    for _ in range(repeats + 2):
        start = time.perf_counter()
        work()
        durations.append(time.perf_counter() - start)
    return round(statistics.median(durations[2:]), 4)


def _cold(data: bytes, pixels: np.ndarray) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        vrc, png = Path(folder, "a.vrc"), Path(folder, "a.png")
        vrc.write_bytes(data)
        Image.fromarray(pixels).save(png)
        commands = {
            "import torch": ["-c", "import torch"],
            "decode": ["-m", "vrcodec", "decode", str(vrc), "-f", "-q"],
            "encode": ["-m", "vrcodec", "encode", str(png), "-f", "-q"],
            "info": ["-m", "vrcodec", "info", str(vrc)],
            "--help": ["-m", "vrcodec", "--help"],
        }
        return {name: median(lambda c=c: _run(c), 5) for name, c in commands.items()}


def _run(arguments: list[str]) -> None:
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)


def _peak(who: int) -> int:
    return resource.getrusage(who).ru_maxrss // 1024


if __name__ == "__main__":
    main()
