"""The surrogate of a coder says what the coder does, and has gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import Pixels
from tests.surrogates import CPU, FAMILIES, surrogate
from tests.test_codec import gradient
from vrcodec.bitstream.information_content import symbol_bits
from vrcodec.bitstream.rans import CodingTables
from vrcodec.bitstream.tables import gaussian_tables
from vrcodec.codec import derive_rate_parameters
from vrcodec.models.coding.entropy import round_with_dead_zone
from vrcodec.picture.picture import Picture
from vrcodec.refinement import rounding
from vrcodec.refinement.bit_cost import BitCostTables
from vrcodec.refinement.refine import create_surrogate
from vrcodec.regions.grid import Block
from vrcodec.regions.window import crop_to


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("size", [(200, 150), (1, 1), (1100, 70), (40, 1040)])
def test_a_surrogate_that_rounds_is_the_decoder(family: str, size: tuple[int, int]) -> None:
    encoder, setting, own = surrogate(family, gradient(*size))
    whole = torch.zeros(1, encoder.model.size.latent, own.grid.height, own.grid.width)
    bits = 0.0
    for block in own.blocks:
        y_hat, own_bits = own.decode(block, own.variables(block), rounding.round_residual)
        whole = whole[:, : y_hat.shape[1]]
        crop_to(whole, block).copy_(y_hat)
        bits += float(own_bits)
    everything = Block(0, own.grid.height, 0, own.grid.width)
    x_hat = own.synthesise(whole, everything)[0, :, : size[1], : size[0]]
    pixels = (x_hat * 255).round().clamp(0, 255).permute(1, 2, 0).numpy()
    streams = own.streams()
    rate = derive_rate_parameters(encoder.model, setting, *size)
    decoded = encoder.model.decompress(streams, rate, *size)
    assert np.abs(pixels - decoded.astype(np.float32)).max() <= 1
    written = 8 * sum(len(stream.data) for stream in streams)
    # A stream ends with whole words and begins with the state of the coder.
    assert abs(written - bits) < 0.03 * bits + 96 * len(streams)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_was_found_at_one_rate_is_where_another_begins(
    family: str, photograph: Pixels
) -> None:
    encoder, setting, own = surrogate(family, photograph)
    picture = Picture.from_array(photograph)
    rate = derive_rate_parameters(encoder.model, setting, picture.width, picture.height)
    again = create_surrogate(
        encoder.model, encoder.analyse(picture), rate, own.continuous_latents()
    )
    for one, other in zip(
        own.variables(own.blocks[0]), again.variables(own.blocks[0]), strict=True
    ):
        assert torch.allclose(one, other, atol=1e-4)


@given(st.integers(-1500, 1500), st.integers(0, 63))
def test_bit_costs_at_integers_are_those_of_the_tables(symbol: int, table: int) -> None:
    tables = CodingTables(gaussian_tables())
    kept = max(-1024, min(symbol, 1024))
    wanted = symbol_bits(np.array([kept], np.int32), np.array([table]), tables)[0]
    found = BitCostTables(tables, CPU).total_bits(
        torch.tensor([float(symbol)]), torch.tensor([float(table)])
    )
    assert float(found) == pytest.approx(wanted, rel=1e-2, abs=1e-3)


def test_gradients_of_bit_costs_are_their_slopes() -> None:
    costs = BitCostTables(CodingTables(gaussian_tables()), CPU)
    symbols = torch.tensor([0.3, -2.6, 7.2, 0.0], dtype=torch.float64, requires_grad=True)
    table = torch.tensor([5.4, 20.7, 33.1, 12.5], dtype=torch.float64, requires_grad=True)
    costs.total_bits(symbols, table).backward()
    for x in (symbols, table):
        for k in range(len(x)):
            values = []
            for step in (1e-3, 0.0):
                moved = x.detach().clone()
                moved[k] += step
                pair = (moved, table.detach()) if x is symbols else (symbols.detach(), moved)
                values.append(float(costs.total_bits(*pair)))
            assert float(x.grad[k]) == pytest.approx(
                (values[0] - values[1]) / 1e-3, rel=0.02, abs=0.02
            )


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=20), st.floats(-4, 4))
def test_rounding_lies_between_integers_and_ends_as_the_coder_rounds(
    values: list[float], log2_scale: float
) -> None:
    residual, scale = torch.tensor(values), torch.tensor(log2_scale)
    annealed = rounding.AnnealedRounding(CPU, 24)
    annealed.set_progress(0.5)
    found = annealed(residual, scale)
    coder = round_with_dead_zone(residual, scale)
    assert (rounding.round_residual(residual, scale) == coder).all()
    assert ((found - coder).abs() <= 1 + 1e-5).all()
