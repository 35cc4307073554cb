"""Squared errors are those of what is shown: where a sample is beyond white or black, of white or black."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from vrcodec.metrics.squared_error import squared_errors

LEVELS = st.sampled_from([0.0, 0.25, 1.0])


@given(LEVELS, st.floats(-1, 2, width=32))
def test_values_are_shown_as_they_are_decoded_and_gradients_lead_to_the_original(
    original: float, value: float
) -> None:
    x, x_hat = torch.tensor([original]), torch.tensor([value], requires_grad=True)
    error = squared_errors(x, x_hat)
    error.sum().backward()  # type: ignore[no-untyped-call]
    assert x_hat.grad is not None
    shown = min(max(value, 0), 1)
    assert torch.allclose(error, torch.tensor((shown - original) ** 2), atol=1e-6)
    assert torch.allclose(x_hat.grad, torch.tensor(2 * (shown - original)), atol=1e-6)
