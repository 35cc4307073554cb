"""Models as PyTorch trains them."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from vrcodec.catalog import WeightsEntry
from vrcodec.errors import WeightsError
from vrcodec.kernels import Array
from vrcodec.models.base import VariableRateModel
from vrcodec.models.hyperprior import HyperpriorModel
from vrcodec.models.networks.module import Module
from vrcodec.models.weights import load_float_state, open_model, unpack_model


def attach_training(model: VariableRateModel, device: str = "cpu") -> None:
    """Create the modules of ``model`` that only training needs, and give all parameters gradients.

    They become `torch.nn.Parameter`, and its other arrays tensors, on ``device``.
    """
    model.attach_densities()
    place_trainable(model, device)
    for module in model.modules():
        if isinstance(module, Module):
            for name, value in module._parameters.items():
                module._parameters[name] = nn.Parameter(value)


def place_trainable(model: Module, device: str) -> None:
    """Put everything on ``device``; networks compute with channels last there."""

    def put(x: Array) -> Tensor:
        tensor = torch.as_tensor(x).to(device)
        if tensor.ndim == 4:
            tensor = tensor.contiguous(memory_format=torch.channels_last)
        if isinstance(x, nn.Parameter):
            return nn.Parameter(tensor.detach(), x.requires_grad)
        return tensor

    model.map(put)
    for module in model.modules():
        if isinstance(module, nn.Module):
            module.to(device)


def load_state(path: Path) -> dict[str, Tensor]:
    """All real-valued tensors of a weights file, float32, to start training from. Raises WeightsError."""
    return {name: torch.from_numpy(value) for name, value in load_float_state(path).items()}


def load_trainable(entry: WeightsEntry, device: str = "cpu") -> VariableRateModel:
    """The model of ``entry`` with the modules of training, so that gradients flow through all of it.

    On ``device``, in float32 and evaluation mode. Raises WeightsError.
    """
    model = open_model(entry, encoder=True)
    attach_training(model, device)
    model.load_state_dict(load_state(entry.path), strict=False)
    return model.eval()


def load_hyperprior_model(path: Path) -> HyperpriorModel:
    """A model with a hyperprior from its weights file, on the CPU in evaluation mode. Raises WeightsError."""
    model = unpack_model(path.read_bytes(), str(path)).eval()
    if not isinstance(model, HyperpriorModel):
        raise WeightsError(f"{path}: {model.family} has no hyperprior")
    place_trainable(model, "cpu")
    return model
