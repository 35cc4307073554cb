"""Encode, inspect and decode a photograph at three rates, with the commands that a user would type."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

from vrcodec.metrics import psnr

FOLDER = Path("demo-output")
RATES = ("0.2", "0.5", "0.8")


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    photograph = skimage.data.astronaut()
    source = FOLDER / "photo.png"
    Image.fromarray(photograph).save(source)
    rows = []
    for rate in RATES:
        coded, decoded = FOLDER / f"photo-{rate}.vrc", FOLDER / f"photo-{rate}.png"
        times = (
            run("encode", source, "-o", coded, "--rate", rate, "-f", "-q"),
            run("decode", coded, "-o", decoded, "-f", "-q"),
        )
        run("info", coded)
        quality = psnr(photograph, np.asarray(Image.open(decoded)))
        rows.append((rate, coded.stat().st_size, quality, *times))
    print(
        f"\n{source}: {photograph.shape[1]}x{photograph.shape[0]}, {source.stat().st_size} bytes\n"
    )
    print("rate     bytes      bpp  PSNR dB  encode s  decode s   (whole commands, cold start)")
    for rate, size, quality, encode, decode in rows:
        bpp = 8 * size / photograph[..., 0].size
        print(f"{rate:4} {size:9} {bpp:8.4f} {quality:8.2f} {encode:9.2f} {decode:9.2f}")


def run(*arguments: object) -> float:
    """Show and run a vrcodec command; returns its duration in seconds."""
    words = [str(argument) for argument in arguments]
    print("$ vrcodec", shlex.join(words), flush=True)
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "vrcodec", *words], check=True)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
