"""Times of the stages of encoding and decoding, warm, against the limit of the machine's arithmetic.

    python -m benchmarks.stage_times

The limit of a network is its operations over the rate of a plain matrix product of the same type on the
same machine; that of the coder is its symbols over the rate of one call of the coding library.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.timing import REPEATS, matrix_product_rates, median_seconds, photograph
from vrcodec.bench.profile import stage_medians
from vrcodec.bitstream.rans import CodingTables, RansDecoder, RansEncoder
from vrcodec.bitstream.tables import SCALE_COUNT
from vrcodec.codec import Decoder, Encoder
from vrcodec.models.hyperprior import HyperpriorModel
from vrcodec.models.networks.layers import Conv2d, Depthwise, Pointwise
from vrcodec.models.networks.module import Module
from vrcodec.rate import RATE_CODE_MAX

_NETWORKS = {
    "analysis_net": "analysis",
    "hyper_analysis_net": "hyper-analysis",
    "hyper_synthesis_net": "entropy parameters",
    "context": "entropy parameters",
    "synthesis_net": "synthesis",
}


def measure() -> dict[str, Any]:
    """Milliseconds of each stage, its limit, and the ratio of the two."""
    picture = photograph()
    encoder, decoder = Encoder(), Decoder()
    code = RATE_CODE_MAX // 2
    data = encoder.encode(picture, code)
    decoder.decode(data)
    assert isinstance(encoder.model, HyperpriorModel)
    rates = matrix_product_rates()
    sides: dict[str, Any] = {
        "encode": _median_times(lambda: encoder.encode(picture, code)),
        "decode": _median_times(lambda: decoder.decode(data)),
    }
    models = encoder.model, decoder._models[encoder._entry.id]
    for (name, times), model in zip(sides.items(), models, strict=True):
        assert isinstance(model, HyperpriorModel)
        work = (
            (lambda: encoder.encode(picture, code))
            if name == "encode"
            else (lambda: decoder.decode(data))
        )
        limits = _network_limits(model, work, rates)
        symbols = picture.width * picture.height // 256 * model.size.latent
        limits["coding"] = _coder_seconds(model, symbols, name == "encode")
        sides[name] = {stage: _row(times[stage], limits.get(stage)) for stage in times}
    return {
        "picture": f"{picture.width}x{picture.height}",
        "threads": torch.get_num_threads(),
        "gflops_of_a_matrix_product": {
            str(dtype).removeprefix("torch."): round(rate / 1e9) for dtype, rate in rates.items()
        },
        **sides,
    }


def _row(seconds: float, limit: float | None) -> dict[str, float | None]:
    return {
        "ms": round(1e3 * seconds, 2),
        "limit_ms": round(1e3 * limit, 2) if limit else None,
        "times_the_limit": round(seconds / limit, 2) if limit else None,
    }


def _median_times(work: Callable[[], object]) -> dict[str, float]:
    times = stage_medians(work, lambda: None, REPEATS)
    del times["other"]
    return times


def _network_limits(
    model: HyperpriorModel, work: Callable[[], object], rates: dict[torch.dtype, float]
) -> dict[str, float]:
    """Seconds that the convolutions of each network would take at the rate of a matrix product."""
    seconds = dict.fromkeys(_NETWORKS.values(), 0.0)
    with ExitStack() as stack:
        for name, stage in _NETWORKS.items():
            network = getattr(model, name, None)
            for module in network.modules() if network else ():
                if isinstance(module, Conv2d | Depthwise | Pointwise):
                    module.forward = _counting(module, stage, seconds, rates)
                    stack.callback(delattr, module, "forward")
        work()
    return {stage: limit for stage, limit in seconds.items() if limit}


def _counting(
    module: Module, stage: str, seconds: dict[str, float], rates: dict[torch.dtype, float]
) -> Callable[[Tensor], Tensor]:
    """What ``module`` computes, and notes."""

    def forward(x: Tensor) -> Tensor:
        out: Tensor = type(module).forward(module, x)
        positions = out.shape[0] * out.shape[-2] * out.shape[-1]
        seconds[stage] += 2 * positions * module.weight.numel() / rates[module.weight.dtype]
        return out

    return forward


def _coder_seconds(model: HyperpriorModel, count: int, encode: bool) -> float:
    """One call of the coding library for as many symbols, all with one table."""
    tables = CodingTables(model.gaussian.tables())
    table = np.full(count, SCALE_COUNT // 2, np.uint8)
    symbols = np.zeros(count, np.int32)
    writer = RansEncoder()
    writer.put(symbols, table, tables)
    if encode:
        return median_seconds(writer.finish)
    data = writer.finish()
    used = tables.tables[SCALE_COUNT // 2]
    return median_seconds(lambda: RansDecoder(data)._coder.decode_table(used, count))


if __name__ == "__main__":
    print(json.dumps(measure(), indent=1))
