"""Measure the noise that the guard band has to absorb, and how often it is needed.

    python benchmarks/exactness.py gained /path/to/kodak

Computes the table indices of every picture under several kernels (memory layouts, one thread, without
oneDNN, in strips), in float64 and in float32, and counts the indices that differ; and counts the ties
in files at eleven rates.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from vrcodec.bitstream.grid import HYPER_STRIDE
from vrcodec.bitstream.guard import GUARD, round_to_table
from vrcodec.bitstream.tables import SCALE_COUNT
from vrcodec.codec import Encoder, Engine
from vrcodec.folders import read_folder
from vrcodec.models.entropy import scale_index
from vrcodec.models.hyperprior import HyperpriorModel
from vrcodec.rate import RATE_CODE_MAX
from vrcodec.strips import StripGeometry, in_strips


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("family")
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    pictures = read_folder(arguments.folder)
    model = Encoder(arguments.family, Engine("cpu")).model
    assert isinstance(model, HyperpriorModel)
    ties = values = 0
    noise = {torch.float64: 0.0, torch.float32: 0.0}
    flips = dict.fromkeys(noise, 0)
    for picture in pictures.values():
        latents = model.analysis(picture.pixels)
        for step in range(11):
            rate = model.rate_state(step * RATE_CODE_MAX // 10)
            streams = model.compress(latents, rate)
            ties += sum(len(stream.ties) for stream in streams)
        rate = model.rate_state(RATE_CODE_MAX // 2)
        z_hat = model.quantised_hyper_latent(latents, rate)
        for dtype in noise:
            reference, *others = kernels(model.hyper_synthesis_net.to(dtype), z_hat.to(dtype))
            expected = round_to_table(reference, SCALE_COUNT)
            for t in others:
                noise[dtype] = max(noise[dtype], float(np.abs(t - reference).max()))
                flips[dtype] += int((round_to_table(t, SCALE_COUNT) != expected).sum())
        values += reference.size
        model.hyper_synthesis_net.double()
    report = {
        "pictures": len(pictures),
        "table_indices_per_rate": values,
        "guard": GUARD,
        "largest_difference": {str(k): v for k, v in noise.items()},
        "indices_flipped_under_four_other_kernels": {str(k): v for k, v in flips.items()},
        "ties_at_eleven_rates": ties,
    }
    print(json.dumps(report, indent=1))


@torch.inference_mode()
def kernels(net: nn.Module, z_hat: Tensor) -> list[np.ndarray]:
    """Real-valued table indices from ``z_hat``, computed in five ways."""
    return [scale_index(out.chunk(2, dim=1)[1].double()).numpy() for out in _outputs(net, z_hat)]


def _outputs(net: nn.Module, z_hat: Tensor) -> Iterator[Tensor]:
    for layout in (torch.contiguous_format, torch.channels_last):
        yield net.to(memory_format=layout)(z_hat.contiguous(memory_format=layout))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield net(z_hat)
    torch.set_num_threads(threads)
    with torch.backends.mkldnn.flags(enabled=False):
        yield net(z_hat)
    yield in_strips(net, z_hat, StripGeometry(1, HYPER_STRIDE, 2), 3)


if __name__ == "__main__":
    main()
