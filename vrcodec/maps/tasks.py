"""Quality maps for a task: gradient descent on the map, through a frozen codec.

The classification-aware compression of Song et al., ICCV 2021, section 4.4: minimises the loss of the task on
the decoded picture, plus a price for bits.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from vrcodec.bitstream.quality_map import MAP_STRIDE
from vrcodec.catalog import WeightsEntry
from vrcodec.errors import UsageError
from vrcodec.maps.levels import Levels
from vrcodec.models.base import Pixels
from vrcodec.models.learning.passes import run
from vrcodec.models.learning.trainable import load_trainable
from vrcodec.models.networks.layers import pad_to_multiple
from vrcodec.own_state import in_own_state

# Loss of a decoded picture, given the original, both (1, 3, H, W) in [0, 1]: a scalar.
Task = Callable[[Tensor, Tensor], Tensor]

_LEARNING_RATE = 0.25
# Level 1/2 everywhere, where the sigmoid is steepest.
_INITIAL_LOGIT = 0.0


@in_own_state
def task_map(
    entry: WeightsEntry,
    pixels: Pixels,
    task: Task,
    *,
    steps: int = 50,
    price: float = 1.0,
    step_done: Callable[[float, float], None] = lambda loss, bpp: None,
) -> Levels:
    """Levels, one for each 32 x 32 pixels of ``pixels`` (H, W, 3), that minimise task + ``price`` bpp.

    ``step_done`` is called with the loss of the task and the bits per pixel after each step. Raises
    UsageError when the task fails or returns no number that depends on the decoded picture.
    """
    with torch.random.fork_rng(devices=[]):
        # That of the CPU alone, which is put back; `torch.manual_seed` is for all devices.
        torch.default_generator.manual_seed(0)
        # Noise in place of rounding, as in training: the number of bits then has a gradient.
        model = load_trainable(entry).requires_grad_(False).train()
        height, width = pixels.shape[:2]
        original = torch.from_numpy(pixels.copy()).permute(2, 0, 1).unsqueeze(0).float() / 255
        x = pad_to_multiple(original, MAP_STRIDE)
        cells = x.shape[-2] // MAP_STRIDE, x.shape[-1] // MAP_STRIDE
        logits = torch.full((1, 1, *cells), _INITIAL_LOGIT, requires_grad=True)
        optimizer = torch.optim.Adam([logits], _LEARNING_RATE)
        for _ in range(steps):
            out = run(model, x, logits.sigmoid())
            bits = torch.stack([-torch.log2(p).sum() for p in out.likelihoods.values()]).sum()
            bpp = bits / (height * width)
            decoded = out.x_hat[..., :height, :width].clamp(0, 1)
            loss = _task_loss(task, decoded, original)
            optimizer.zero_grad()
            (loss + price * bpp).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            step_done(float(loss.detach()), float(bpp.detach()))
    levels: Levels = logits.detach().sigmoid()[0, 0].double().numpy()
    return levels


def _task_loss(task: Task, decoded: Tensor, original: Tensor) -> Tensor:
    try:
        loss = task(decoded, original)
    except Exception as error:
        raise UsageError(f"the task failed: {type(error).__name__}: {error}") from error
    if not isinstance(loss, Tensor) or loss.numel() != 1 or not loss.requires_grad:
        raise UsageError("the task does not return one number with a gradient to the picture")
    return loss.reshape(())
