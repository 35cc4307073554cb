"""The prior of the slimmable family: a density, and tables chosen by how busy the neighbours are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.slimmable import SIZE
from vrcodec.bitstream.tables import gaussian_tables
from vrcodec.models.coding.activity import ACTIVITY_CLASSES, LATENT_LIMIT, ActivityPrior
from vrcodec.models.coding.mixture import LogisticMixture
from vrcodec.models.learning.mixture_likelihood import interval_probability
from vrcodec.models.learning.trainable import place_trainable
from vrcodec.models.slimming.widths import Width
from vrcodec.rate import RATE_CODE_MAX


def test_deviations_are_those_of_the_density() -> None:
    """Against a numerical integral."""
    torch.manual_seed(0)
    density = LogisticMixture(4)
    place_trainable(density, "cpu")
    for parameter in density.parameters():
        torch.nn.init.normal_(parameter)
    edges = torch.linspace(-300, 300, 60_001).expand(1, 4, -1)
    mass = interval_probability(density, edges[..., :-1], edges[..., 1:]).detach().double()[0]
    middle = (edges[0, :, 1:] + edges[0, :, :-1]).double() / 2
    mean = (mass * middle).sum(1)
    variance = (mass * middle.square()).sum(1) - mean.square()
    assert mass.sum(1).tolist() == pytest.approx([1] * 4, rel=1e-3)
    assert density.mean().tolist() == pytest.approx(mean.tolist(), abs=1e-2)
    assert density.standard_deviations().tolist() == pytest.approx(
        variance.sqrt().tolist(), rel=1e-2
    )


def random_prior(seed: int, channels: int) -> ActivityPrior:
    """As no training would make it: everything is in use."""
    random = np.random.default_rng(seed)
    prior = ActivityPrior(channels)
    prior.freeze_tables(gaussian_tables())
    bounds = np.sort(random.integers(0, 200, prior.bounds.shape), axis=-1)
    for own, values in (
        (prior.choice, random.integers(0, 64, prior.choice.shape)),
        (prior.bounds, bounds),
        (prior.weights, random.integers(-1024, 1025, prior.weights.shape)),
    ):
        own[:] = values
    return prior


@given(
    seed=st.integers(0, 2**31),
    height=st.integers(1, 7),
    width=st.integers(1, 7),
    level=st.sampled_from([0, 1, 2184, 2185, 40_000, RATE_CODE_MAX]),
    scale=st.sampled_from([0.3, 3.0, 300.0, float(LATENT_LIMIT)]),
)
def test_symbols_come_back(seed: int, height: int, width: int, level: int, scale: float) -> None:
    """Whatever they are, from a prior that makes use of all it can."""
    own = Width(replace(SIZE, channels=16, latent=20, widths=(), reach=()))
    own.prior = random_prior(seed, 20)
    random = np.random.default_rng(seed)
    wild = np.rint(random.normal(0, scale, (20, height, width)))
    symbols = np.clip(wild, -LATENT_LIMIT, LATENT_LIMIT).astype(np.int32)
    stream = own.encode_block(symbols, level)
    back = np.zeros_like(symbols)
    own.decode_block(stream, back, level)
    assert np.array_equal(back, symbols)


def test_busy_places_get_tables_of_their_own() -> None:
    """Where neighbours are busy, another class is met; and what is not decoded yet counts for nothing."""
    prior = random_prior(0, 20)
    prior.bounds[:] = np.arange(1, ACTIVITY_CLASSES)
    calm, busy = np.zeros((2, 20, 6, 6), np.int32)
    busy[:2, 1:3, 1:4] = 5
    seen = {}
    for name, symbols in (("calm", calm), ("busy", busy)):
        decoded, classes = np.zeros_like(symbols), []
        for part in prior.passes(3, decoded):
            classes.append(part.classes)
            decoded[part.channels, part.mask] = symbols[part.channels][:, part.mask]
        seen[name] = classes
    assert (np.concatenate(seen["calm"]) == 0).all()
    assert (seen["busy"][0] == 0).all()
    assert (seen["busy"][1] > 0).any()
    assert (seen["busy"][2] > 0).any()
