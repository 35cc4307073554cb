"""The operations that networks are made of, for the arrays of NumPy and of PyTorch.

Networks (`vrcodec.models`) are written once. What computes them follows from the type of their arrays:
`kernels_of` has the operations that the two libraries call differently, or that one of them lacks. Maps of
features are (B, C, H, W) with channels last in memory, in both, so that a 1x1 convolution is a product of
matrices.
"""

from vrcodec.kernels.base import Array, Kernels
from vrcodec.kernels.dispatch import kernels_of

__all__ = ["Array", "Kernels", "kernels_of"]
