"""Squared errors of what is shown, with gradients: for training, and for the search at the encoder."""

from __future__ import annotations

from torch import Tensor


def squared_errors(x: Tensor, x_hat: Tensor) -> Tensor:
    """Of ``x_hat`` against ``x`` in [0, 1], of one shape; what is below 0 is shown as 0, above 1 as 1.

    Gradients lead back from there where that is an error. So whiter than white is right for white: a network
    that has to hit it is as often short of it as beyond.
    """
    x_hat = x_hat.float()
    shown = x_hat + (x_hat.clamp(0, 1) - x_hat).detach()
    return (shown - x.float()).square()
