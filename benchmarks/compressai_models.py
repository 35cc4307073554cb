"""Encoding and decoding times of CompressAI's models: 768x512, float32, real bitstreams, the same threads.

    python -m benchmarks.compressai_models

Weights are random: no time but that of the entropy coder depends on them, and that little.
"""

from __future__ import annotations

import json
import time
from typing import Any

import torch
from compressai.zoo import image_models

from benchmarks.timing import median_seconds, photograph
from vrcodec.codec import Decoder, Encoder
from vrcodec.rate import RATE_CODE_MAX

# Architecture -> its highest quality, that is its widest variant.
MODELS = {"bmshj2018-hyperprior": 8, "mbt2018-mean": 8, "cheng2020-anchor": 6}
# Slower models, the autoregressive ones, are timed once.
_SLOW_SECONDS = 3


def measure() -> list[dict[str, Any]]:
    """Seconds to encode and decode, and parameters, ours first."""
    picture = photograph()
    encoder, decoder = Encoder(), Decoder()
    data = encoder.encode(picture, RATE_CODE_MAX // 2)
    rows = [
        {
            "model": f"vrcodec {encoder.model.family}",
            "parameters_millions": _millions(encoder.model),
            "encode_s": round(
                median_seconds(lambda: encoder.encode(picture, RATE_CODE_MAX // 2)), 3
            ),
            "decode_s": round(median_seconds(lambda: decoder.decode(data)), 3),
        }
    ]
    x = torch.from_numpy(picture.pixels.copy()).permute(2, 0, 1).unsqueeze(0).float() / 255
    return rows + [_row(name, quality, x) for name, quality in MODELS.items()]


@torch.inference_mode()
def _row(name: str, quality: int, x: torch.Tensor) -> dict[str, Any]:
    torch.manual_seed(0)
    model = image_models[name](quality=quality, metric="mse", pretrained=False).eval()
    model.update(force=True)
    start = time.perf_counter()
    out = model.compress(x)
    slow = time.perf_counter() - start > _SLOW_SECONDS
    repeats = 1 if slow else 7
    decoded = model.decompress(out["strings"], out["shape"])
    assert decoded["x_hat"].shape == x.shape
    return {
        "model": f"{name}, quality {quality}",
        "parameters_millions": _millions(model),
        "encode_s": round(_time(lambda: model.compress(x), repeats), 3),
        "decode_s": round(
            _time(lambda: model.decompress(out["strings"], out["shape"]), repeats), 3
        ),
    }


def _time(work: Any, repeats: int) -> float:
    if repeats > 1:
        return median_seconds(work, repeats)
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _millions(model: torch.nn.Module) -> float:
    return round(sum(p.numel() for p in model.parameters()) / 1e6, 1)


if __name__ == "__main__":
    print(json.dumps(measure(), indent=1))
