"""What there is of each library."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import numpy.typing as npt

# A numpy.ndarray or a torch.Tensor.
Array = Any


class Kernels(ABC):
    """The operations of one library. ``xp``: its module, for functions that both call by the same name."""

    name: str
    xp: Any

    # --- arrays ---

    @abstractmethod
    def array(self, values: npt.NDArray[Any]) -> Array:
        """An array of this library, on the CPU, in the memory of ``values`` where possible."""

    @abstractmethod
    def put(self, x: Array, device: Any, dtype: str | None) -> Array:
        """An array of NumPy or of this library, on ``device`` (None: the CPU) and in the type named ``dtype``.

        Without a type it keeps its own.
        """

    @abstractmethod
    def upload(self, batches: Iterable[npt.NDArray[Any]], device: Any) -> Iterator[Array]:
        """Batches of pictures as arrays of this library, on a GPU if ``device`` is one."""

    @abstractmethod
    def to_numpy(self, x: Array) -> npt.NDArray[Any]:
        """The values of an array of this library."""

    @abstractmethod
    def like(self, x: Array, other: Array) -> Array:
        """``x`` in the type of ``other``, and where that is."""

    @abstractmethod
    def float32(self, x: Array) -> Array:
        """``x`` in float32."""

    @abstractmethod
    def at_least_float32(self, x: Array) -> Array:
        """``x`` in float32, or in float64 when it is."""

    @abstractmethod
    def int32(self, x: Array) -> npt.NDArray[np.int32]:
        """Whole numbers as int32, on the CPU."""

    @abstractmethod
    def int64(self, x: Array) -> Array:
        """Whole numbers as int64, to index with."""

    @abstractmethod
    def uint8(self, x: Array) -> npt.NDArray[np.uint8]:
        """Rounded to 0 .. 255, on the CPU. The memory of ``x`` may be used."""

    @abstractmethod
    def take_along(self, x: Array, indices: Array) -> Array:
        """(C, K), of which ``indices`` (C, n) of each row -> (C, n)."""

    @abstractmethod
    def channels_last(self, x: Array) -> Array:
        """``x`` (B, C, H, W) with channels last in memory."""

    @abstractmethod
    def empty(self, like: Array, shape: Sequence[int]) -> Array:
        """An array (B, C, H, W), channels last in memory, of the type of ``like`` and where that is."""

    @abstractmethod
    def zeros(self, like: Array, shape: Sequence[int]) -> Array:
        """Zeros of the type of ``like`` and where that is."""

    @abstractmethod
    def whole_numbers(self, values: npt.NDArray[np.int64], like: Array) -> Array:
        """Indices, where ``like`` is."""

    @abstractmethod
    def without_gradients(self) -> AbstractContextManager[Any]:
        """A context in which nothing is remembered for gradients."""

    @abstractmethod
    def with_gradients(self) -> AbstractContextManager[Any]:
        """A context in which arrays are made that gradients may flow through, wherever it is entered."""

    @abstractmethod
    def full_precision(self, x: Array) -> AbstractContextManager[Any]:
        """A context in which nothing that ``x`` takes part in is computed in a smaller type than it has."""

    @abstractmethod
    def detach(self, x: Array) -> Array:
        """``x`` without its gradient."""

    # --- layers ---

    @abstractmethod
    def pointwise(self, x: Array, weight: Array, bias: Array) -> Array:
        """1x1 convolution, (B, C, H, W) -> (B, D, H, W). ``weight`` (D, C)."""

    @abstractmethod
    def depthwise(self, x: Array, weight: Array, bias: Array) -> Array:
        """3x3 convolution of each channel by itself, zeros outside: (B, C, H, W) -> (B, k C, H, W).

        ``weight`` (k C, 1, 3, 3).
        """

    @abstractmethod
    def convolve(
        self, x: Array, weight: Array, bias: Array, stride: int = 1, padding: int = 0
    ) -> Array:
        """Convolution with ``weight`` (D, C, k, k)."""

    @abstractmethod
    def deconvolve(self, x: Array, weight: Array, bias: Array) -> Array:
        """Transposed convolution of stride 2, (B, C, H, W) -> (B, D, 2H, 2W). ``weight`` (C, D, k, k), k odd.

        Input sample i adds to the output samples 2i - (k - 1) / 2 to 2i + (k - 1) / 2 that there are.
        """

    @abstractmethod
    def lower_bound(self, x: Array, bound: float) -> Array:
        """max(x, bound). Gradients pass where they would raise what is below, too."""

    @abstractmethod
    def pixel_shuffle(self, x: Array, factor: int) -> Array:
        """(B, C r^2, H, W) -> (B, C, r H, r W)."""

    @abstractmethod
    def pixel_unshuffle(self, x: Array, factor: int) -> Array:
        """(B, C, r H, r W) -> (B, C r^2, H, W)."""

    @abstractmethod
    def leaky_relu(self, x: Array, slope: float, *, reuse: bool = False) -> Array:
        """max(x, slope x). ``reuse``: may be computed in the memory of ``x``."""

    @abstractmethod
    def silu_gate(self, x: Array) -> Array:
        """SiLU of the first half of the channels, times the second. The memory of ``x`` may be used."""

    @abstractmethod
    def add(self, x: Array, y: Array, *, reuse: bool = False) -> Array:
        """x + y, in the type of ``x``. ``reuse``: may be computed in the memory of ``x``."""

    @abstractmethod
    def modulate(self, x: Array, gamma: Array, beta: Array) -> Array:
        """x (1 + gamma) + beta."""

    # --- rearranging ---

    @abstractmethod
    def run_in_strips(self, x: Array, halo: int, run: Callable[[Array, int, int], Array]) -> Array:
        """What ``run`` makes of (B, C, H, W), of the same shape; where that is faster, strip by strip of rows.

        ``run`` gets a strip with up to ``halo`` rows more on each side, and their numbers above and below,
        which its result does not have.
        """

    @abstractmethod
    def pad_last(self, x: Array, below: int, right: int) -> Array:
        """Repeat the last row and column of (B, C, H, W)."""

    @abstractmethod
    def gather(self, x: Array, positions: Array) -> Array:
        """The samples at ``positions`` (n,): (B, C, N) -> (B, C, n)."""

    @abstractmethod
    def scatter(self, x: Array, positions: Array, values: Array) -> Array:
        """``x`` (B, C, N) with ``values`` (B, C, n) at ``positions`` (n,)."""

    @abstractmethod
    def repeat(self, x: Array, size: Sequence[int]) -> Array:
        """(B, C, h, w) -> (B, C, ``size``), both sides a whole number of times as long: the nearest sample."""

    @abstractmethod
    def average(self, x: Array, stride: int) -> Array:
        """Means over squares of ``stride`` samples, those at the border of what there is of them."""
