"""What a step of training costs, by its parts.

    python -m benchmarks.training_step photographs/ --family qvrf --batch 8 --threads 2
    torchrun --nproc-per-node 2 -m benchmarks.training_step photographs/ --family qvrf --batch 8 --threads 1

Under torchrun every process takes a batch of its own; the times are those of the first one.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import get_args

import torch

from benchmarks.timing import matrix_product_rate
from vrcodec.bench.codecs import synchroniser
from vrcodec.bench.summary import markdown
from vrcodec.engine import Engine
from vrcodec.models.device import float_dtype, resolve_device
from vrcodec.picture.folders import find_pictures
from vrcodec.timing import record_stages
from vrcodec.training.data import CropSampler, load_pictures
from vrcodec.training.distributed import ProcessGroup
from vrcodec.training.loop import Trainer
from vrcodec.training.recipes import Tune, load_recipe

_PICTURES = 40


def main() -> None:
    """Measure, and print a row of a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="photographs")
    parser.add_argument("--family", default="qvrf")
    parser.add_argument("--tune", choices=get_args(Tune), default="psnr")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with ProcessGroup.join(arguments.device) as group:
        parts = measure(arguments, group)
        if group.rank:
            return
        crops = arguments.batch * group.world_size / (sum(parts.values()) / 1000)
        cells = {part: f"{ms:.0f}" for part, ms in parts.items()}
        cells |= {"step": f"{sum(parts.values()):.0f}", "crops/s": f"{crops:.2f}"}
        what = f"{arguments.family} for {arguments.tune}"
        print(f"{what}, {group.world_size} x {arguments.threads} threads, milliseconds")
        print(markdown((list(cells), [list(cells.values())])))
        if arguments.device == "cpu":
            dtype = float_dtype(torch.device("cpu"), "auto")
            rate = matrix_product_rate(dtype)
            print(f"a product of matrices in {dtype}: {rate / 1e9:.0f} GFLOP/s")


def measure(arguments: argparse.Namespace, group: ProcessGroup) -> dict[str, float]:
    """Median milliseconds of each part of a step, after one step that is not counted."""
    device = str(resolve_device(arguments.device))
    pictures = load_pictures(find_pictures((arguments.folder,))[:_PICTURES], print)
    recipe = replace(load_recipe(arguments.family), batch=arguments.batch, tune=arguments.tune)
    synchronise = synchroniser(Engine(device))
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(recipe, Path(folder), device, group, seed=0)
        sampler = CropSampler(pictures, recipe.crop, device)
        for _ in range(arguments.steps + 1):
            with record_stages(synchronise) as times:
                trainer._train_step(sampler, 0.0)
            rows.append(times.seconds)
    return {part: 1000 * statistics.median(row[part] for row in rows[1:]) for part in rows[0]}


if __name__ == "__main__":
    main()
