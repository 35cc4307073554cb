"""The operations of networks in PyTorch: on CPU and CUDA, in float64, float32 and bfloat16, with gradients."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from vrcodec.kernels.base import Kernels
from vrcodec.kernels.clamping import clamp_with_gradient
from vrcodec.kernels.cuda_upload import upload_ahead


class TorchKernels(Kernels):
    """PyTorch."""

    name = "torch"
    xp = torch

    def array(self, values: npt.NDArray[Any]) -> Tensor:
        # PyTorch warns of read-only arrays, such as those of Pillow, and no thread has filters of its own.
        return torch.from_numpy(values if values.flags.writeable else values.copy())

    def put(self, x: Any, device: Any, dtype: str | None) -> Tensor:
        tensor = x if isinstance(x, Tensor) else self.array(x)
        own = tensor.dtype if dtype is None else getattr(torch, dtype)
        return tensor.to("cpu" if device is None else device, own)

    def upload(self, batches: Iterable[npt.NDArray[Any]], device: Any) -> Iterator[Tensor]:
        tensors = map(self.array, batches)
        return upload_ahead(tensors, device) if device.type == "cuda" else tensors

    def to_numpy(self, x: Tensor) -> npt.NDArray[Any]:
        values: npt.NDArray[Any] = x.detach().cpu().numpy()
        return values

    def like(self, x: Tensor, other: Tensor) -> Tensor:
        return x.to(other)

    def float32(self, x: Tensor) -> Tensor:
        return x.float()

    def at_least_float32(self, x: Tensor) -> Tensor:
        return x if x.dtype == torch.float64 else x.float()

    def int32(self, x: Tensor) -> npt.NDArray[np.int32]:
        return self.to_numpy(x.int())

    def int64(self, x: Tensor) -> Tensor:
        return x.long()

    def uint8(self, x: Tensor) -> npt.NDArray[np.uint8]:
        return self.to_numpy(x.round_().clamp_(0, 255).to(torch.uint8))

    def take_along(self, x: Tensor, indices: Tensor) -> Tensor:
        return x.gather(1, indices)

    def channels_last(self, x: Tensor) -> Tensor:
        return x.contiguous(memory_format=torch.channels_last)

    def empty(self, like: Tensor, shape: Sequence[int]) -> Tensor:
        return torch.empty(
            tuple(shape), dtype=like.dtype, device=like.device, memory_format=torch.channels_last
        )

    def zeros(self, like: Tensor, shape: Sequence[int]) -> Tensor:
        return like.new_zeros(tuple(shape))

    def whole_numbers(self, values: npt.NDArray[np.int64], like: Tensor) -> Tensor:
        return torch.from_numpy(values).to(like.device)

    def without_gradients(self) -> AbstractContextManager[Any]:
        return torch.inference_mode()

    def with_gradients(self) -> AbstractContextManager[Any]:
        return torch.inference_mode(False)

    def full_precision(self, x: Tensor) -> AbstractContextManager[Any]:
        return torch.autocast(x.device.type, enabled=False)

    def detach(self, x: Tensor) -> Tensor:
        return x.detach()

    def pointwise(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        # With bfloat16 weights only the branches of blocks are in bfloat16, not their sum.
        x = x.bfloat16() if weight.dtype == torch.bfloat16 else x
        return F.conv2d(x, weight[:, :, None, None], bias)

    def depthwise(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        if x.dtype != torch.float64:
            return F.conv2d(x, weight, bias, padding=1, groups=x.shape[1])
        # PyTorch computes float64 channel by channel: nine shifted products are five times as fast.
        height, width = x.shape[-2:]
        padded = F.pad(x, (1, 1, 1, 1)).repeat_interleave(len(weight) // x.shape[1], dim=1)
        out = bias[:, None, None].expand(len(x), -1, height, width).clone()
        for row in range(3):
            for column in range(3):
                window = padded[..., row : row + height, column : column + width]
                out.addcmul_(window, weight[:, :1, row, column, None])
        return out

    def convolve(
        self, x: Tensor, weight: Tensor, bias: Tensor, stride: int = 1, padding: int = 0
    ) -> Tensor:
        return F.conv2d(x, weight, bias, stride, padding)

    def deconvolve(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return F.conv_transpose2d(x, weight, bias, 2, weight.shape[-1] // 2, output_padding=1)

    def lower_bound(self, x: Tensor, bound: float) -> Tensor:
        return clamp_with_gradient(x, bound, math.inf)

    def pixel_shuffle(self, x: Tensor, factor: int) -> Tensor:
        return F.pixel_shuffle(x, factor)

    def pixel_unshuffle(self, x: Tensor, factor: int) -> Tensor:
        # PyTorch's returns channels first, and every layer behind it would convert the layout.
        r = factor
        b, c, h, w = x.shape
        patches = x.permute(0, 2, 3, 1).reshape(b, h // r, r, w // r, r, c)
        flat = patches.permute(0, 1, 3, 5, 2, 4).reshape(b, h // r, w // r, c * r * r)
        return flat.permute(0, 3, 1, 2)

    def leaky_relu(self, x: Tensor, slope: float, *, reuse: bool = False) -> Tensor:
        return F.leaky_relu(x, slope, inplace=reuse and not torch.is_grad_enabled())

    def silu_gate(self, x: Tensor) -> Tensor:
        left, right = x.chunk(2, dim=1)
        return F.silu(left, inplace=not torch.is_grad_enabled()) * right

    def add(self, x: Tensor, y: Tensor, *, reuse: bool = False) -> Tensor:
        return x.add_(y) if reuse and not torch.is_grad_enabled() else x + y

    def modulate(self, x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        return torch.addcmul(x + beta.to(x.dtype), x, gamma.to(x.dtype))

    def run_in_strips(
        self, x: Tensor, halo: int, run: Callable[[Tensor, int, int], Tensor]
    ) -> Tensor:
        return run(x, 0, 0)

    def pad_last(self, x: Tensor, below: int, right: int) -> Tensor:
        return F.pad(x, (0, right, 0, below), mode="replicate")

    def gather(self, x: Tensor, positions: Tensor) -> Tensor:
        # `gather`, because indexing is several times slower.
        return x.gather(2, positions.expand(*x.shape[:2], -1))

    def scatter(self, x: Tensor, positions: Tensor, values: Tensor) -> Tensor:
        return x.scatter(2, positions.expand_as(values), values)

    def repeat(self, x: Tensor, size: Sequence[int]) -> Tensor:
        return F.interpolate(x, tuple(size), mode="nearest")

    def average(self, x: Tensor, stride: int) -> Tensor:
        return F.avg_pool2d(x, stride, ceil_mode=True, count_include_pad=False)


TORCH = TorchKernels()
