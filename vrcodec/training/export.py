"""Export of a trained model: frozen tables, float16 weights, and their card."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from vrcodec.catalog import encoder_path, weights_id
from vrcodec.files import write_atomically
from vrcodec.kernels import kernels_of
from vrcodec.models import GuardedModel, VariableRateModel
from vrcodec.models.base import DENSITY_INFIX
from vrcodec.models.device import torch_backend
from vrcodec.models.families.slim import Slim
from vrcodec.models.weights import pack_encoder, pack_model, unpack_model
from vrcodec.training.activity_fit import fit_prior
from vrcodec.training.calibration import calibrate_tables
from vrcodec.training.complexity import count_kmac, width_figures
from vrcodec.training.recipes import Recipe
from vrcodec.training.width_schedule import find_schedule, measure_widths

# Pictures that the schedule of a slimmable model is found on.
_SCHEDULE_PICTURES = 24

History = Sequence[Mapping[str, Any]]


def export_model(
    model: VariableRateModel,
    folder: Path,
    history: History,
    pictures: Sequence[Tensor] = (),
    *,
    crops: int = Recipe.calibration_crops,
    name: str = "",
    version: int = 0,
    keep_tables: bool = False,
) -> Path:
    """Freeze the tables of ``model`` and write ``<family>.safetensors`` and its card to ``folder``.

    ``history``: stages of training, oldest first. ``pictures`` (3, H, W), uint8: the tables of y are fitted to
    ``crops`` random crops of them; without pictures, tables are those of the densities. The schedule of a
    slimmable model is found on some of them. ``name``, ``version``: of a network of one's own, which its files
    are called by instead. ``keep_tables``: they are there already. Returns the path of the weights.
    """
    if not keep_tables:
        _freeze(model, pictures, crops)
    path = folder / f"{name or model.family}.safetensors"
    ids = {"id": _write(path, pack_model(model))}
    encoder = pack_encoder(model)
    if encoder is not None:
        ids["encoder_id"] = _write(encoder_path(path), encoder)
    own = {"name": name, "version": version} if name else {}
    write_card(path.with_suffix(".json"), {**own, **make_card(model, ids, history)})
    return path


def _freeze(model: VariableRateModel, pictures: Sequence[Tensor], crops: int) -> None:
    model.freeze()
    if pictures and isinstance(model, GuardedModel):
        model.gaussian.freeze_tables(calibrate_tables(model, pictures, crops, seed=0))
    if pictures and isinstance(model, Slim):
        _fit_slim(model, pictures, crops)


def _write(path: Path, data: bytes) -> str:
    """Write a weights file; returns its id."""
    write_atomically(path, data, overwrite=True)
    return weights_id(data).hex()


def _fit_slim(model: Slim, pictures: Sequence[Tensor], crops: int) -> None:
    """Fit the priors and the schedule of ``model`` to ``pictures``."""
    coding_model = _coding_copy(model)
    for width, layers in model.all_widths().items():
        layers.prior.load_state_dict(
            fit_prior(coding_model, width, pictures, crops, seed=0).state_dict()
        )
    chosen = np.random.default_rng(0).permutation(len(pictures))[:_SCHEDULE_PICTURES]
    curves = measure_widths(_coding_copy(model), [pictures[k] for k in chosen])
    work = {w: sum(f["kmac_per_pixel"].values()) for w, f in width_figures(model).items()}
    model.schedule = kernels_of(model.schedule).array(find_schedule(curves, work))


def _coding_copy(model: Slim) -> Slim:
    """A copy of ``model``, prepared for coding."""
    copy = unpack_model(pack_model(model), model.family)
    assert isinstance(copy, Slim)
    copy.prepare(torch_backend())
    return copy


def write_card(path: Path, card: Mapping[str, Any]) -> None:
    """Write a card as readable JSON."""
    write_atomically(path, (json.dumps(card, indent=1) + "\n").encode(), overwrite=True)


def make_card(model: VariableRateModel, ids: Mapping[str, str], history: History) -> dict[str, Any]:
    """The card of exported weights, without measured figures: a benchmark adds those.

    ``ids``: of the weights file, and of the encoder's if there is one.
    """
    parameters = [p for n, p in model.named_parameters() if DENSITY_INFIX not in n]
    card = {
        "family": model.family,
        **ids,
        "tune": history[-1].get("tune", "psnr") if history else "psnr",
        "architecture": asdict(model.size),
        "parameters": sum(math.prod(p.shape) for p in parameters),
        "kmac_per_pixel": count_kmac(model),
    }
    if isinstance(model, Slim):
        card["widths"] = width_figures(model)
    return {**card, "training": list(history)}
