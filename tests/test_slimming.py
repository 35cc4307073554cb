"""The networks of a width are slices of the widest ones, and symbols need none of them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from tests.conftest import ROOT, Pixels
from tests.slimmable import WIDTHS, model_of
from vrcodec.bitstream.symbol_coding import StreamReader
from vrcodec.catalog import find_by_family
from vrcodec.codec import Decoder, Encoder
from vrcodec.models import Slim
from vrcodec.models.device import torch_backend
from vrcodec.models.learning.passes import run_narrow
from vrcodec.models.learning.trainable import load_state, load_trainable
from vrcodec.models.networks.module import Module
from vrcodec.models.slimming.slicing import group_by_channel, switchable_layers, ungroup_channels
from vrcodec.models.slimming.width_packing import join_increments, split_increments
from vrcodec.models.slimming.widths import NETWORKS
from vrcodec.models.weights import unpack_model
from vrcodec.picture.picture import Picture
from vrcodec.rate import RATE_CODE_MAX


@given(
    rows=st.lists(st.integers(1, 5), min_size=1, max_size=4).map(sorted),
    columns=st.lists(st.integers(1, 5), min_size=4, max_size=4).map(sorted),
    rest=st.sampled_from([(), (2, 2)]),
    flat=st.booleans(),
)
def test_parts_join_to_every_leading_part(
    rows: list[int], columns: list[int], rest: tuple[int, ...], flat: bool
) -> None:
    shapes = [
        torch.Size((r,) if flat else (r, c, *rest)) for r, c in zip(rows, columns, strict=False)
    ]
    whole = torch.arange(float(shapes[-1].numel())).reshape(shapes[-1])
    parts = split_increments(whole, shapes)
    assert sum(map(len, parts)) == whole.numel()
    for count in range(1, len(shapes) + 1):
        leading = whole[tuple(map(slice, shapes[count - 1]))]
        joined = join_increments(parts[:count], shapes[:count])
        assert np.array_equal(joined, leading.numpy())


@pytest.mark.parametrize("width", WIDTHS)
def test_a_width_is_the_first_channels_of_the_same_kernels(slim: Encoder, width: int) -> None:
    """But for scales and shifts, whose ratio is one for each output channel."""
    wide = load_state(find_by_family("slim").path)
    model = model_of(slim)
    for network in NETWORKS:
        narrow = model.network(width, network)
        switched = {name for name, _ in switchable_layers(narrow, network)}
        for name, parameter in narrow.named_parameters():
            if f"{network}.{name}".rpartition(".")[0] in switched:
                continue
            rows_first = group_by_channel(name, parameter)
            full = group_by_channel(name, wide[f"{network}.{name}"])
            expected = full[tuple(map(slice, rows_first.shape))]
            assert torch.equal(parameter, ungroup_channels(name, expected)), name


def test_scales_and_shifts_act_behind_the_branches() -> None:
    """A narrow network whose layers are scaled and shifted does what the plain layers and both after it do."""
    model = load_trainable(find_by_family("slim"))
    assert isinstance(model, Slim)
    own = model.all_widths()[16]
    x = torch.rand(1, 3, 32, 48)
    found = run_narrow(model, own, "analysis_net", x)
    switches = own.switches["analysis_net"]
    plain = own.templates["analysis_net"]
    state = own.network_state("analysis_net", model.leading)
    affine = {}
    for name, _ in switchable_layers(plain, "analysis_net"):
        layer, key = name.removeprefix("analysis_net."), name.replace(".", "_")
        scale, shift = switches.scales[key], switches.shifts[key]
        assert not torch.equal(scale, torch.ones_like(scale))
        state[layer + ".weight"] = state[layer + ".weight"] / scale[:, None]
        state[layer + ".bias"] = (state[layer + ".bias"] - shift) / scale
        affine[layer] = scale[:, None, None], shift[:, None, None]
    net = plain.with_parameters(state)
    for layer, (scale, shift) in affine.items():
        module = net.get_submodule(layer)
        module.forward = lambda x, m=module, a=scale, b=shift: type(m).forward(m, x) * a + b
    expected = net(x)
    assert torch.allclose(found, expected, atol=1e-4)


def test_work_and_parameters_are_those_of_the_networks_that_run(slim: Encoder) -> None:
    """What the shipped card says, counted once more on the networks that the coder has."""
    card = json.loads((ROOT / "weights" / "slim.json").read_text())
    model = unpack_model((ROOT / "weights" / "slim.safetensors").read_bytes(), "slim")
    assert isinstance(model, Slim)
    model.prepare(torch_backend("cpu", "float32"))
    counted = {}
    for width in model.size.widths:
        inputs = torch.zeros(1, 3, 256, 256), torch.zeros(1, width * 320 // 256, 16, 16)
        for network, x in zip(NETWORKS, inputs, strict=True):
            with FlopCounterMode(display=False) as counter:
                model.network(width, network)(x)
            counted[width, network] = counter.get_total_flops() / 2 / 65536 / 1000
        figures = card["widths"][str(width)]
        assert list(figures["kmac_per_pixel"].values()) == pytest.approx(
            [counted[width, network] for network in NETWORKS], abs=0.006
        )
        modules = [model.network(width, n) for n in NETWORKS] + [model.all_widths()[width]]
        parameters = [p for m in modules for n, p in m.named_parameters() if "density" not in n]
        assert figures["parameters"] == sum(p.numel() for p in parameters)
    narrowest, widest = model.size.widths[0], model.size.widths[-1]
    for network in NETWORKS:
        assert counted[narrowest, network] <= counted[widest, network] / 8


def test_symbols_need_no_network(
    slim: Encoder, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With networks that give nothing but zeros the decoder finds the same symbols, to the hash."""
    seen: list[list[int]] = []
    finish = StreamReader.finish
    monkeypatch.setattr(StreamReader, "finish", lambda r: (finish(r), seen[-1].append(r._crc)))
    files = [slim.encode(picture, code) for code in (0, 30_000, RATE_CODE_MAX)]

    def decoded() -> list[Pixels]:
        seen.append([])
        return [Decoder().decode(data).pixels for data in files]

    usual = decoded()
    monkeypatch.setattr(Slim, "network", lambda *_: Nothing())
    without = decoded()
    assert seen[0] == seen[1]
    assert len(seen[0]) == len(set(seen[0])) == len(files)
    for ours, theirs in zip(usual, without, strict=True):
        assert (theirs == 128).all()
        assert not np.array_equal(ours, theirs)


class Nothing(Module):
    def forward(self, y: Tensor) -> Tensor:
        return y.new_zeros(1, 3, 16 * y.shape[-2], 16 * y.shape[-1])
