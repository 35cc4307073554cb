"""Where a model computes: with which library, on which device, in which types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vrcodec.kernels import Array, Kernels
from vrcodec.kernels.numpy_kernels import NUMPY


@dataclass(frozen=True)
class Place:
    """A library, a device of it (None where it has only one), and a floating-point type by name."""

    kernels: Kernels
    device: Any
    dtype: str

    def put(self, x: Array) -> Array:
        """An array of NumPy or of this library, here and in this type."""
        return self.kernels.put(x, self.device, self.dtype)

    def move(self, x: Array) -> Array:
        """The same in its own type."""
        return self.kernels.put(x, self.device, None)


@dataclass(frozen=True)
class Backend:
    """What computes a model.

    ``exact_device``: where what chooses tables runs, in ``exact_type``. ``branch_type``: of the branches of
    residual blocks, where the work is; everything else of the transforms is float32. With another
    ``exact_type`` than float64 files may not decode elsewhere: it is there to measure that.
    """

    kernels: Kernels
    device: Any = None
    exact_device: Any = None
    branch_type: str = "float32"
    exact_type: str = "float64"

    @property
    def place(self) -> Place:
        """Of the transforms."""
        return Place(self.kernels, self.device, "float32")

    @property
    def exact_place(self) -> Place:
        """Of what chooses tables."""
        return Place(self.kernels, self.exact_device, self.exact_type)

    @property
    def host_place(self) -> Place:
        """Of what follows from the rate alone: the CPU, in float64."""
        return Place(self.kernels, None, "float64")


NUMPY_BACKEND = Backend(NUMPY)
