"""Tables that are fitted to symbols make smaller files than those that are not."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data
import torch

from vrcodec.bitstream.information_content import total_bits
from vrcodec.bitstream.rans import CodingTables
from vrcodec.bitstream.tables import TOTAL, gaussian_pmf, gaussian_tables, table_scale
from vrcodec.codec import Encoder
from vrcodec.engine import Engine
from vrcodec.models import Slim
from vrcodec.training.activity_fit import fit_prior
from vrcodec.training.calibration import fit_tables


def test_tables_are_fitted_to_what_residuals_are_like() -> None:
    """Symbols whose scale is not what the prior said cost less with fitted tables than with Gaussians."""
    random = np.random.default_rng(0)
    counts = np.zeros((64, 2 * 4096 + 1))
    scales = table_scale(20) * 2.0 ** random.normal(0, 0.7, 200_000)
    symbols = np.rint(random.normal(0, scales)).astype(int)
    np.add.at(counts, (20, symbols + 4096), 1)
    fitted = fit_tables(counts)
    fitted.check()
    indices = np.full(len(symbols), 20)
    costs = [
        total_bits(symbols.astype(np.int32), indices, CodingTables(tables))
        for tables in (gaussian_tables(), fitted)
    ]
    assert costs[1] < 0.97 * costs[0]
    # Tables that met nothing stay Gaussian.
    untouched = fitted.table(40)[len(fitted.table(40)) // 2 - 1] / TOTAL
    assert untouched == pytest.approx(gaussian_pmf(table_scale(40), 10)[10], rel=0.03)


def test_a_fitted_prior_makes_smaller_files_of_what_it_has_seen() -> None:
    coder = Encoder("slim", Engine("cpu", "float32")).model
    assert isinstance(coder, Slim)
    picture = torch.from_numpy(skimage.data.coffee().copy()).permute(2, 0, 1)
    pixels = skimage.data.coffee()[:256, :256].copy()
    rates = [coder.rate_parameters_at_width(code, 16) for code in (5_000, 30_000, 60_000)]
    own = coder.loaded_width(16)
    own.prior.freeze(own.table_gains())

    def sizes() -> list[int]:
        coder.loaded_width(16).__dict__.pop("tables", None)
        latents = coder.analyse(pixels)
        return [len(coder.compress(latents, rate)[0].data) for rate in rates]

    before = sizes()
    fit_prior(coder, 16, [picture], 12, seed=0)
    after = sizes()
    assert all(new < 0.97 * old for new, old in zip(after, before, strict=True))
