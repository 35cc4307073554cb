"""From a trained model to what is shipped: frozen tables, float16 weights, and their card."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vrcodec.catalog import encoder_path, weights_id
from vrcodec.files import write_atomically
from vrcodec.models import Guarded, VariableRateModel
from vrcodec.models.base import DENSITY
from vrcodec.models.families.slim import Slim
from vrcodec.models.weights import pack_encoder, pack_model, unpack_model
from vrcodec.training.activity_fit import fit_prior
from vrcodec.training.calibration import calibrated_tables
from vrcodec.training.complexity import count_kmac, width_figures
from vrcodec.training.width_schedule import find_schedule, measure

# On which the schedule of a slimmable model is found.
_SCHEDULE_PICTURES = 24

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
    ``crops`` of them the tables of y are fitted; without, they are those of the densities. On some of them
    the schedule of a slimmable model is found. Returns the path of the weights.
    """
    model.freeze()
    if pictures and isinstance(model, Guarded):
        model.gaussian.freeze_tables(calibrated_tables(model, pictures, crops, seed=0))
    if pictures and isinstance(model, Slim):
        _fit(model, pictures, crops)
    path = folder / f"{model.family}.safetensors"
    ids = {"id": _write(path, pack_model(model))}
    encoder = pack_encoder(model)
    if encoder is not None:
        ids["encoder_id"] = _write(encoder_path(path), encoder)
    write_card(path.with_suffix(".json"), make_card(model, ids, history))
    return path


def _write(path: Path, data: bytes) -> str:
    """Write a weights file; returns its id."""
    write_atomically(path, data, overwrite=True)
    return weights_id(data).hex()


def _fit(model: Slim, pictures: Sequence[Tensor], crops: int) -> None:
    """Set the priors of ``model`` and its schedule to what suits pictures."""
    ready = _ready(model)
    for width, own in model.all_widths().items():
        own.prior.load_state_dict(fit_prior(ready, width, pictures, crops, seed=0).state_dict())
    chosen = np.random.default_rng(0).permutation(len(pictures))[:_SCHEDULE_PICTURES]
    curves = measure(_ready(model), [pictures[k] for k in chosen])
    work = {w: sum(f["kmac_per_pixel"].values()) for w, f in width_figures(model).items()}
    model.schedule = find_schedule(curves, work)


def _ready(model: Slim) -> Slim:
    """A copy of ``model`` that can code."""
    copy = unpack_model(pack_model(model), model.family)
    assert isinstance(copy, Slim)
    copy.prepare(torch.device("cpu"))
    return copy


def write_card(path: Path, card: Mapping[str, Any]) -> None:
    """Write a card as readable JSON."""
    write_atomically(path, (json.dumps(card, indent=1) + "\n").encode(), overwrite=True)


def make_card(model: VariableRateModel, ids: Mapping[str, str], history: History) -> dict[str, Any]:
    """The card of freshly exported weights; figures on pictures are added by a measurement.

    ``ids``: of the weights file, and of the encoder's if there is one.
    """
    parameters = [p for n, p in model.named_parameters() if DENSITY not in n]
    card = {
        "family": model.family,
        **ids,
        "architecture": asdict(model.size),
        "parameters": sum(p.numel() for p in parameters),
        "kmac_per_pixel": count_kmac(model),
    }
    if isinstance(model, Slim):
        card["widths"] = width_figures(model)
    return {**card, "training": list(history)}
