"""From a trained model to what is shipped: frozen tables, float16 weights, and their card."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from vrcodec.bitstream.grid import HYPER_STRIDE, STRIDE
from vrcodec.bitstream.qmap import MAP_STRIDE
from vrcodec.catalog import weights_id
from vrcodec.files import write_atomically
from vrcodec.models import VariableRateModel
from vrcodec.models.context import Pick
from vrcodec.models.hyperprior import HyperpriorModel
from vrcodec.models.zoo import DENSITY_PREFIX, pack_model
from vrcodec.training.calibrate import calibrated_tables

History = Sequence[Mapping[str, Any]]


def export_model(
    model: VariableRateModel,
    folder: Path,
    history: History,
    pictures: Sequence[Tensor] = (),
    crops: int = 200,
) -> Path:
    """Freeze the tables of ``model`` and write ``<family>.safetensors`` and its card to ``folder``.

    ``history``: what training went into it, oldest first. ``pictures`` (3, H, W), uint8: from as many
    ``crops`` of them the tables of y are fitted; without, they are plain Gaussians. Returns the path of
    the weights.
    """
    model.prior.freeze()
    if pictures and isinstance(model, HyperpriorModel):
        model.gaussian.freeze_tables(calibrated_tables(model, pictures, crops, seed=0))
    else:
        model.gaussian.freeze()
    data = pack_model(model)
    path = folder / f"{model.family}.safetensors"
    write_atomically(path, data, overwrite=True)
    write_card(path.with_suffix(".json"), make_card(model, weights_id(data).hex(), history))
    return path


def write_card(path: Path, card: Mapping[str, Any]) -> None:
    """Write a card as readable JSON."""
    write_atomically(path, (json.dumps(card, indent=1) + "\n").encode(), overwrite=True)


def make_card(model: VariableRateModel, identity: str, history: History) -> dict[str, Any]:
    """The card of freshly exported weights; figures on pictures are added by a measurement."""
    parameters = [p for n, p in model.named_parameters() if not n.startswith(DENSITY_PREFIX)]
    return {
        "family": model.family,
        "id": identity,
        "architecture": asdict(model.size),
        "parameters": sum(p.numel() for p in parameters),
        "kmac_per_pixel": count_kmac(model),
        "training": list(history),
    }


@torch.no_grad()
def count_kmac(model: VariableRateModel) -> dict[str, float]:
    """Thousands of multiply-accumulates per picture pixel, by part."""
    side = 256
    x = torch.zeros(1, 3, side, side)
    y = torch.zeros(1, model.size.latent, side // STRIDE, side // STRIDE)
    z = torch.zeros(1, model.size.hyper, *(n // HYPER_STRIDE for n in y.shape[-2:]))
    assert isinstance(model, HyperpriorModel)
    maps = torch.zeros(1, 1, side // MAP_STRIDE, side // MAP_STRIDE)
    factors = model.factors(maps if model.mapped else torch.zeros(1))
    beside = model.beside(factors.levels)
    features = model.hyper_synthesis_net(z)
    work: dict[str, Callable[[], object]] = {
        "analysis": partial(model.analysis_net, x, *beside),
        "hyper_analysis": partial(model.hyper_analysis_net, y, *beside),
        "hyper_synthesis": partial(model.hyper_synthesis_net, z),
        "synthesis": partial(model.synthesis_net, y, *beside),
        "condition": partial(model.beside, factors.levels),
        "context": partial(model.code_block, features, factors, _no_residual),
    }
    counts = {name: _operations(call) / side**2 / 1e3 for name, call in work.items()}
    rounded = {name: round(count, 2) for name, count in counts.items()}
    return {name: count for name, count in rounded.items() if count}


def _operations(work: Callable[[], object]) -> float:
    """Multiply-accumulates of a call."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        work()
    return counter.get_total_flops() / 2


def _no_residual(mean: Tensor, log2_scale: Tensor, pick: Pick) -> Tensor:
    return torch.zeros_like(mean)
