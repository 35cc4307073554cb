"""The operations of networks in NumPy, on the CPU, in float64 and float32."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt

from vrcodec.kernels.base import Kernels
from vrcodec.kernels.workers import WORKERS, computing

Values = npt.NDArray[Any]

# What an operation without a product takes at a time stays in the processor's cache.
_CACHE_BYTES = 1 << 19
# The input of a residual block: its gate is twice as large.
_STRIP_BYTES = 1 << 19
# Less is not worth the threads.
_SMALL_BYTES = 1 << 16


class NumpyKernels(Kernels):
    """NumPy, whose products of matrices are those of its BLAS."""

    name = "numpy"
    xp = np

    def array(self, values: Values) -> Values:
        return values

    def put(self, x: Values, device: Any, dtype: str | None) -> Values:
        return x if dtype is None else x.astype(dtype, copy=False)

    def upload(self, batches: Iterable[Values], device: Any) -> Iterator[Values]:
        return iter(batches)

    def to_numpy(self, x: Values) -> Values:
        return x

    def like(self, x: Values, other: Values) -> Values:
        return x.astype(other.dtype, copy=False)

    def float32(self, x: Values) -> Values:
        return x.astype(np.float32, copy=False)

    def at_least_float32(self, x: Values) -> Values:
        return x if x.dtype == np.float64 else self.float32(x)

    def int32(self, x: Values) -> npt.NDArray[np.int32]:
        return x.astype(np.int32)

    def int64(self, x: Values) -> Values:
        return x.astype(np.int64)

    def uint8(self, x: Values) -> npt.NDArray[np.uint8]:
        return np.clip(np.rint(x, out=x), 0, 255, out=x).astype(np.uint8)

    def take_along(self, x: Values, indices: Values) -> Values:
        return np.take_along_axis(x, indices, 1)

    def channels_last(self, x: Values) -> Values:
        return _to_nchw(np.ascontiguousarray(_to_nhwc(x)))

    def empty(self, like: Values, shape: Sequence[int]) -> Values:
        b, c, h, w = shape
        return _to_nchw(np.empty((b, h, w, c), like.dtype))

    def zeros(self, like: Values, shape: Sequence[int]) -> Values:
        batch, channels, *sides = shape
        return np.moveaxis(np.zeros((batch, *sides, channels), like.dtype), -1, 1)

    def whole_numbers(self, values: npt.NDArray[np.int64], like: Values) -> Values:
        return values

    def without_gradients(self) -> AbstractContextManager[Any]:
        return computing()

    def with_gradients(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def full_precision(self, x: Values) -> AbstractContextManager[Any]:
        return nullcontext()

    def detach(self, x: Values) -> Values:
        return x

    def pointwise(self, x: Values, weight: Values, bias: Values) -> Values:
        pixels = _to_nhwc(x)
        flat = pixels.reshape(-1, pixels.shape[-1])
        out = np.empty((len(flat), len(weight)), x.dtype)

        def run(rows: slice) -> None:
            np.matmul(flat[rows], weight.T, out=out[rows])
            out[rows] += bias

        WORKERS.run(run, _shares(len(flat), out.nbytes))
        return _to_nchw(out.reshape(*pixels.shape[:-1], len(weight)))

    def depthwise(self, x: Values, weight: Values, bias: Values) -> Values:
        b, c, h, w = x.shape
        times = len(weight) // c
        padded = np.zeros((b, h + 2, w + 2, c), x.dtype)
        padded[:, 1:-1, 1:-1] = _to_nhwc(x)
        if times > 1:
            padded = np.repeat(padded, times, axis=-1)
        taps = np.ascontiguousarray(weight[:, 0].transpose(1, 2, 0))
        out = np.empty((b, h, w, times * c), x.dtype)

        def run(rows: slice) -> None:
            strip = out[:, rows]
            product = np.empty_like(strip)
            strip[:] = bias
            for row in range(3):
                above = slice(rows.start + row, rows.start + row + strip.shape[1])
                for column in range(3):
                    window = padded[:, above, column : column + w]
                    np.multiply(window, taps[row, column], out=product)
                    strip += product

        WORKERS.run(run, _shares(h, out.nbytes, _CACHE_BYTES))
        return _to_nchw(out)

    def convolve(
        self, x: Values, weight: Values, bias: Values, stride: int = 1, padding: int = 0
    ) -> Values:
        pixels = np.pad(_to_nhwc(x), ((0, 0), (padding, padding), (padding, padding), (0, 0)))
        b, height, width, c = pixels.shape
        side = weight.shape[-1]
        h, w = ((n - side) // stride + 1 for n in (height, width))
        out = np.empty((b * h * w, len(weight)), x.dtype)
        out[:] = bias
        for row in range(side):
            for column in range(side):
                window = pixels[
                    :,
                    row : row + stride * (h - 1) + 1 : stride,
                    column : column + stride * (w - 1) + 1 : stride,
                ]
                out += window.reshape(-1, c) @ weight[:, :, row, column].T
        return _to_nchw(out.reshape(b, h, w, len(weight)))

    def deconvolve(self, x: Values, weight: Values, bias: Values) -> Values:
        pixels = _to_nhwc(x)
        b, h, w, c = pixels.shape
        outputs, side = weight.shape[1], weight.shape[-1]
        flat, before = pixels.reshape(-1, c), side // 2
        # With what the border samples add outside, which is cut off.
        out = np.empty((b, 2 * h + side, 2 * w + side, outputs), x.dtype)
        out[:] = bias
        for row in range(side):
            for column in range(side):
                product = (flat @ weight[:, :, row, column]).reshape(b, h, w, outputs)
                out[:, row : row + 2 * h : 2, column : column + 2 * w : 2] += product
        return _to_nchw(out[:, before : before + 2 * h, before : before + 2 * w])

    def lower_bound(self, x: Values, bound: float) -> Values:
        return np.maximum(x, x.dtype.type(bound))

    def pixel_shuffle(self, x: Values, factor: int) -> Values:
        r = factor
        b, c, h, w = x.shape
        cells = _to_nhwc(x).reshape(b, h, w, c // r**2, r, r)
        return _to_nchw(cells.transpose(0, 1, 4, 2, 5, 3).reshape(b, h * r, w * r, c // r**2))

    def pixel_unshuffle(self, x: Values, factor: int) -> Values:
        r = factor
        b, c, h, w = x.shape
        cells = _to_nhwc(x).reshape(b, h // r, r, w // r, r, c)
        return _to_nchw(cells.transpose(0, 1, 3, 5, 2, 4).reshape(b, h // r, w // r, c * r * r))

    def leaky_relu(self, x: Values, slope: float, *, reuse: bool = False) -> Values:
        factor = x.dtype.type(slope)
        if not reuse:
            return np.maximum(x, x * factor)

        def run(rows: slice) -> None:
            part = x[:, :, rows]
            np.maximum(part, part * factor, out=part)

        WORKERS.run(run, _shares(x.shape[2], x.nbytes, _CACHE_BYTES))
        return x

    def silu_gate(self, x: Values) -> Values:
        pixels = _to_nhwc(x)
        half = pixels.shape[-1] // 2
        out = np.empty((*pixels.shape[:-1], half), x.dtype)

        def run(rows: slice) -> None:
            left, right, part = pixels[:, rows, :, :half], pixels[:, rows, :, half:], out[:, rows]
            # left * right / (1 + exp(-left)). Where the power would be infinite the quotient is zero.
            np.negative(left, out=part)
            np.minimum(part, x.dtype.type(80), out=part)
            np.exp(part, out=part)
            part += 1
            np.divide(left, part, out=part)
            part *= right

        WORKERS.run(run, _shares(x.shape[2], x.nbytes, _CACHE_BYTES))
        return _to_nchw(out)

    def add(self, x: Values, y: Values, *, reuse: bool = False) -> Values:
        return np.add(x, y, out=x if reuse else None)

    def modulate(self, x: Values, gamma: Values, beta: Values) -> Values:
        return x + beta + x * gamma

    def run_in_strips(
        self, x: Values, halo: int, run: Callable[[Values, int, int], Values]
    ) -> Values:
        height = x.shape[2]
        out = self.empty(x, x.shape)

        def run_strip(rows: slice) -> None:
            above, below = min(halo, rows.start), min(halo, height - rows.stop)
            window = x[:, :, rows.start - above : rows.stop + below]
            out[:, :, rows] = run(window, above, below)

        WORKERS.run(run_strip, _shares(height, x.nbytes, _STRIP_BYTES))
        return out

    def pad_last(self, x: Values, below: int, right: int) -> Values:
        return _to_nchw(np.pad(_to_nhwc(x), ((0, 0), (0, below), (0, right), (0, 0)), mode="edge"))

    def gather(self, x: Values, positions: Values) -> Values:
        return x.transpose(0, 2, 1)[:, positions].transpose(0, 2, 1)

    def scatter(self, x: Values, positions: Values, values: Values) -> Values:
        out = x.copy(order="K")
        out[:, :, positions] = values
        return out

    def repeat(self, x: Values, size: Sequence[int]) -> Values:
        height, width = size
        return x.repeat(height // x.shape[2], axis=2).repeat(width // x.shape[3], axis=3)

    def average(self, x: Values, stride: int) -> Values:
        rows, columns = (np.arange(0, n, stride) for n in x.shape[-2:])
        sums = np.add.reduceat(np.add.reduceat(x, rows, axis=-2), columns, axis=-1)
        heights, widths = (
            np.diff([*cuts, n]) for cuts, n in ((rows, x.shape[-2]), (columns, x.shape[-1]))
        )
        return sums / np.outer(heights, widths)


def _shares(count: int, size: int, limit: int | None = None) -> list[slice]:
    """Cut ``count`` rows, ``size`` bytes in all, into parts of about ``limit`` bytes, or one for each worker.

    What is small stays whole.
    """
    parts = WORKERS.count if limit is None else -(-size // limit)
    if parts > 1:
        parts = -(-parts // WORKERS.count) * WORKERS.count
    parts = 1 if size < _SMALL_BYTES else max(1, min(parts, count))
    cuts = [count * part // parts for part in range(parts + 1)]
    return list(map(slice, cuts, cuts[1:]))


def _to_nhwc(x: Values) -> Values:
    return x.transpose(0, 2, 3, 1)


def _to_nchw(x: Values) -> Values:
    return x.transpose(0, 3, 1, 2)


NUMPY = NumpyKernels()
