"""Quality maps for a task: gradient descent on the map, through a frozen codec.

The classification-aware compression of Song et al., ICCV 2021, section 4.4: minimises the loss of the task on
the decoded picture, plus a price for bits. A large picture goes through the codec in tiles, so that memory is
bounded: first all are decoded, then the gradient of the task goes back through one after the other.

Cells are of 32 x 32 pixels: with smaller ones, maps of gradients cost small files more than they save.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from vrcodec.bitstream.quality_map import COARSE_STRIDE
from vrcodec.catalog import WeightsEntry
from vrcodec.errors import DeviceError, UsageError
from vrcodec.kernels import kernels_of
from vrcodec.maps.levels import Levels
from vrcodec.models.base import Pixels, VariableRateModel
from vrcodec.models.device import resolve_device
from vrcodec.models.learning.passes import run
from vrcodec.models.learning.trainable import load_trainable
from vrcodec.models.networks.layers import pad_to_multiple
from vrcodec.own_state import in_own_state
from vrcodec.regions.grid import HYPER_STRIDE, STRIDE, Block
from vrcodec.regions.tiling import Tile, Tiling
from vrcodec.regions.window import crop_to, intersect, scale_up

# Loss of a decoded picture, given the original, both (1, 3, H, W) in [0, 1]: a scalar.
Task = Callable[[Tensor, Tensor], Tensor]

_LEARNING_RATE = 0.25
# Level 1/2 everywhere, where the sigmoid is steepest.
_INITIAL_LOGIT = 0.0
# Tiles are cut between samples of z, and measured in these: 512 pixels, in 2 GB for all that has gradients.
_UNIT = STRIDE * HYPER_STRIDE
TILING = Tiling(side=512 // _UNIT)
# Of both the transforms and the hyper-synthesis: beyond this, gradients hardly change.
_HALO = 128 // _UNIT


@in_own_state
def task_map(
    entry: WeightsEntry,
    pixels: Pixels,
    task: Task,
    *,
    steps: int = 50,
    price: float = 1.0,
    device: str = "auto",
    tiling: Tiling = TILING,
    step_done: Callable[[float, float], None] = lambda loss, bpp: None,
) -> Levels:
    """Levels, one for each 32 x 32 pixels of ``pixels`` (H, W, 3), that minimise task + ``price`` bpp.

    ``device``: ``auto``, ``cpu``, ``cuda``, ``cuda:N``; the task gets its tensors there. ``tiling``: in units
    of 64 pixels. ``step_done`` is called with the loss of the task and the bits per pixel after each step;
    those of tiles are estimated. Raises DeviceError, or UsageError when the task fails or returns no number
    that depends on the decoded picture.
    """
    place = resolve_device(device)
    with _random_numbers(place), _memory_as_device_error(place):
        # Noise in place of rounding, as in training: the number of bits then has a gradient.
        model = load_trainable(entry, str(place)).requires_grad_(False).train()
        original = torch.from_numpy(pixels.copy()).to(place).permute(2, 0, 1).unsqueeze(0) / 255
        descent = _Descent(model, task, original, price, tiling)
        logits = torch.full(descent.map_shape, _INITIAL_LOGIT, device=place, requires_grad=True)
        optimizer = torch.optim.Adam([logits], _LEARNING_RATE)
        for _ in range(steps):
            optimizer.zero_grad()
            loss, bpp = descent.backward(logits.sigmoid())
            optimizer.step()
            step_done(loss, bpp)
    levels: Levels = logits.detach().sigmoid()[0, 0].double().cpu().numpy()
    return levels


@contextmanager
def _random_numbers(place: torch.device) -> Iterator[None]:
    """The same ones each time; the caller's are as they were."""
    on_gpu = place.type == "cuda"
    with torch.random.fork_rng([place] if on_gpu else []):
        # Those of the devices in use alone, which are put back; `torch.manual_seed` is for all.
        torch.default_generator.manual_seed(0)
        if on_gpu:
            with torch.cuda.device(place):
                torch.cuda.manual_seed(0)
        yield


@contextmanager
def _memory_as_device_error(place: torch.device) -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise DeviceError(f"out of memory on {place}; try --device cpu") from error


@dataclass(frozen=True)
class _Descent:
    """Gradients of task + ``price`` bpp for ``original`` (1, 3, H, W), with respect to its levels."""

    model: VariableRateModel
    task: Task
    original: Tensor
    price: float
    tiling: Tiling

    @property
    def map_shape(self) -> tuple[int, int, int, int]:
        """(1, 1, rows, columns) of the map."""
        height, width = self.original.shape[-2:]
        return 1, 1, -(-height // COARSE_STRIDE), -(-width // COARSE_STRIDE)

    def backward(self, levels: Tensor) -> tuple[float, float]:
        """Accumulate the gradients of ``levels``; returns the loss of the task, and the bits per pixel."""
        windows = list(self._windows())
        if len(windows) > 1:
            return self._backward_in_tiles(levels, windows)
        x_hat, bits = self._code(levels, windows[0].input)
        loss = self._task_loss(x_hat)
        bpp = bits / self.original[0, 0].numel()
        (loss + self.price * bpp).backward()  # type: ignore[no-untyped-call]
        return float(loss.detach()), float(bpp.detach())

    def _backward_in_tiles(self, levels: Tensor, windows: list[Tile]) -> tuple[float, float]:
        decoded = self._decode(levels.detach(), windows).requires_grad_()
        loss = self._task_loss(decoded)
        loss.backward()  # type: ignore[no-untyped-call]
        assert decoded.grad is not None
        gradient, bpp = torch.zeros_like(levels), 0.0
        for tile in windows:
            part = crop_to(levels.detach(), tile.input).requires_grad_()
            x_hat, bits = self._code(part, tile.input)
            # All that a level has an effect on lies within the halo: of the tile itself its gradient is whole.
            of_task = (x_hat * crop_to(decoded.grad, scale_up(tile.input, COARSE_STRIDE))).sum()
            bits_per_pixel = bits / self.original[0, 0].numel()
            (of_task + self.price * bits_per_pixel).backward()  # type: ignore[no-untyped-call]
            assert part.grad is not None
            crop_to(gradient, tile.output).copy_(crop_to(part.grad, tile.output_in_input))
            share = crop_to(levels, tile.output).numel() / part.numel()
            bpp += share * float(bits_per_pixel.detach())
        levels.backward(gradient)  # type: ignore[no-untyped-call]
        return float(loss.detach()), bpp

    @torch.no_grad()
    def _decode(self, levels: Tensor, windows: list[Tile]) -> Tensor:
        decoded = torch.empty_like(self.original)
        for tile in windows:
            x_hat, _ = self._code(crop_to(levels, tile.input), tile.input)
            inside = scale_up(tile.output_in_input, COARSE_STRIDE)
            crop_to(decoded, scale_up(tile.output, COARSE_STRIDE)).copy_(crop_to(x_hat, inside))
        return decoded

    def _windows(self) -> Iterator[Tile]:
        """Tiles in cells of the map."""
        cells = Block(0, self.map_shape[2], 0, self.map_shape[3])
        factor = _UNIT // COARSE_STRIDE
        units = -(-cells.bottom // factor), -(-cells.right // factor)
        for tile in self.tiling.tiles(Block(0, units[0], 0, units[1]), units, _HALO, _UNIT):
            parts = (tile.output, tile.input)
            yield Tile(*(intersect(scale_up(part, factor), cells) for part in parts))

    def _code(self, levels: Tensor, window: Block) -> tuple[Tensor, Tensor]:
        """What is decoded of a window, in cells, and its bits."""
        x = crop_to(self.original, scale_up(window, COARSE_STRIDE))
        padded = pad_to_multiple(x, COARSE_STRIDE)
        size = [side // STRIDE for side in padded.shape[-2:]]
        out = run(self.model, padded, kernels_of(levels).repeat(levels, size))
        bits = torch.stack([-torch.log2(p).sum() for p in out.likelihoods.values()]).sum()
        return out.x_hat[..., : x.shape[-2], : x.shape[-1]], bits

    def _task_loss(self, decoded: Tensor) -> Tensor:
        try:
            loss = self.task(decoded.clamp(0, 1), self.original)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            raise UsageError(f"the task failed: {type(error).__name__}: {error}") from error
        if not isinstance(loss, Tensor) or loss.numel() != 1 or not loss.requires_grad:
            raise UsageError("the task does not return one number with a gradient to the picture")
        return loss.reshape(())
