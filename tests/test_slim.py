"""The slimmable family: widths are slices, symbols need no network, files are read in part."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import vrcodec
from tests.conftest import GOLDEN, ROOT, Command, Pixels, with_chunks
from vrcodec.bitstream import schema
from vrcodec.bitstream.rate_setting import RateSetting
from vrcodec.bitstream.symbol_coding import StreamReader
from vrcodec.catalog import find_by_family, weights_id
from vrcodec.codec import Decoder, Encoder, Engine
from vrcodec.errors import CorruptError, UsageError, WeightsError
from vrcodec.metrics import psnr
from vrcodec.models import Slim
from vrcodec.models.grouped_weights import GroupedWeights, group_name
from vrcodec.models.slimming.slicing import group_by_channel, switchable_layers, ungroup_channels
from vrcodec.models.slimming.width_packing import join_increments, split_increments
from vrcodec.models.slimming.widths import NETWORKS
from vrcodec.models.weights import load_state, load_trainable, pack_model, unpack_model
from vrcodec.picture.picture import Picture
from vrcodec.rate import RATE_CODE_MAX

WIDTHS = (8, 16, 24)


@pytest.fixture
def slim() -> Encoder:
    return Encoder("slim", Engine("cpu", "float32"))


@pytest.fixture
def picture(photograph: Pixels) -> Picture:
    return Picture.from_array(photograph)


def model_of(encoder: Encoder) -> Slim:
    assert isinstance(encoder.model, Slim)
    return encoder.model


def width_payload(width: int) -> bytes:
    built: bytes = schema.Width.build(width)
    return built


with_widths = partial(with_chunks, schema.CHUNK_WIDTH)


# --- slices ---


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
        assert torch.equal(join_increments(parts[:count], shapes[:count]), leading)


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
    found = model.run_narrow(own, "analysis_net", x)
    switches = own.switches["analysis_net"]
    plain = own.templates["analysis_net"]
    state = own.network_state("analysis_net", model._leading)
    for name, _ in switchable_layers(plain, "analysis_net"):
        layer, key = name.removeprefix("analysis_net."), name.replace(".", "_")
        scale, shift = switches.scales[key], switches.shifts[key]  # type: ignore[union-attr, index]
        assert not torch.equal(scale, torch.ones_like(scale))
        state[layer + ".weight"] = state[layer + ".weight"] / scale[:, None]
        state[layer + ".bias"] = (state[layer + ".bias"] - shift) / scale
        plain.get_submodule(layer).register_forward_hook(
            lambda _, __, y, a=scale, b=shift: y * a[:, None, None] + b[:, None, None]
        )
    expected = torch.func.functional_call(plain, state, (x,))
    assert torch.allclose(found, expected, atol=1e-4)


def test_work_and_parameters_are_those_of_the_networks_that_run(slim: Encoder) -> None:
    """What the shipped card says, counted once more on the networks that the coder has."""
    card = json.loads((ROOT / "weights" / "slim.json").read_text())
    model = unpack_model((ROOT / "weights" / "slim.safetensors").read_bytes(), "slim")
    assert isinstance(model, Slim)
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


# --- symbols without networks ---


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


class Nothing(nn.Module):
    def forward(self, y: Tensor) -> Tensor:
        return y.new_zeros(1, 3, 16 * y.shape[-2], 16 * y.shape[-1])


# --- widths in files and on the command line ---


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("rate", [0.0, 0.6, 1.0])
def test_a_chosen_width_is_stored_and_used(width: int, rate: float, photograph: Pixels) -> None:
    data = vrcodec.encode(photograph, rate, width=width, model="slim")
    assert vrcodec.inspect(data).network_width == width
    decoder = Decoder()
    assert decoder.decode(data).to_array().shape == photograph.shape
    (model,) = decoder._models.values()
    assert isinstance(model, Slim)
    assert {w for w, _ in model._networks} == {width}


def test_a_width_has_a_range_of_its_own(slim: Encoder, picture: Picture) -> None:
    """From rate 0 to 1 the file grows and the picture improves, at every width."""
    for width in WIDTHS:
        files = [slim.encode(picture, RateSetting(c, width=width)) for c in (0, 32768, 65535)]
        errors = [-psnr(Decoder().decode(f).pixels, picture.pixels) for f in files]
        assert [len(f) for f in files] == sorted(len(f) for f in files)
        assert errors == sorted(errors, reverse=True)


def test_widths_that_do_not_exist(photograph: Pixels) -> None:
    with pytest.raises(UsageError, match="no width 17; slim has 8, 16, 24"):
        vrcodec.encode(photograph, width=17, model="slim")
    with pytest.raises(UsageError, match="gained has no width"):
        vrcodec.encode(photograph, width=8, model="gained")
    with pytest.raises(UsageError, match="in place of"):
        vrcodec.encode(photograph, width=8, bin_size=1.0, model="slim")


@pytest.mark.parametrize(
    "payloads",
    [(b"",), (b"\x08",), (b"\x08\0\0",), (width_payload(8),) * 2, (width_payload(0),)],
)
def test_hostile_widths(payloads: tuple[bytes, ...], photograph: Pixels, decoder: Decoder) -> None:
    data = with_widths(vrcodec.encode(photograph, model="slim"), *payloads)
    with pytest.raises(CorruptError, match="width"):
        decoder.decode(data)


def test_another_width_than_the_encoders_is_noticed(photograph: Pixels, decoder: Decoder) -> None:
    data = vrcodec.encode(photograph, width=16, model="slim")
    for width in (8, 24):
        with pytest.raises(CorruptError):
            decoder.decode(with_widths(data, width_payload(width)))


def test_command_line(
    run: Callable[..., int], vrcodec: Command, picture_file: Path, tmp_path: Path
) -> None:
    target = tmp_path / "out.vrc"
    chosen = ("--model", "slim", "--width", "16")
    assert run("encode", picture_file, "-o", target, *chosen, "--rate", "0.3") == 0
    assert b"0.3000 of width 16" in vrcodec("info", target).stdout
    assert json.loads(vrcodec("info", "--json", target).stdout)[0]["network_width"] == 16
    assert run("decode", target, "-o", tmp_path / "out.png") == 0
    size = target.stat().st_size
    assert run("encode", picture_file, "-fo", target, *chosen, "--size", str(size)) == 0
    assert 0.99 * size <= target.stat().st_size <= size
    assert run("encode", picture_file, "-fo", target, *chosen, "--roi", "0,0,9,9") == 2
    assert run("encode", picture_file, "-fo", target, "--model", "slim", "--width", "9") == 2
    shown = vrcodec("models").stdout.decode()
    assert all(f"width {width}" in shown for width in WIDTHS)


# --- weights that are read in part ---


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Tensors that were read from weights files, and their bytes."""
    found: dict[str, int] = {}
    read = GroupedWeights.__getitem__

    def noted(file: GroupedWeights, name: str) -> Tensor:
        tensor = read(file, name)
        found[name] = tensor.numel() * tensor.element_size()
        return tensor

    monkeypatch.setattr(GroupedWeights, "__getitem__", noted)
    return found


def test_a_decoder_reads_what_its_width_needs(
    slim: Encoder, picture: Picture, asked: dict[str, int]
) -> None:
    files = {w: slim.encode(picture, RateSetting(30_000, width=w)) for w in WIDTHS}
    taken = {}
    for width, data in files.items():
        asked.clear()
        Decoder().decode(data)
        taken[width] = sum(asked.values())
        assert {*map(group_name, asked)} == {
            "schedule",
            f"widths.{width}",
            *(f"synthesis_net.{w}" for w in WIDTHS if w <= width),
        }
    assert taken[8] < taken[16] < taken[24] < find_by_family("slim").path.stat().st_size


def copied_weights(folder: Path, change: Callable[[bytearray], None]) -> Path:
    """A folder with the tiny weights, changed."""
    folder.mkdir()
    data = bytearray((GOLDEN / "slim.safetensors").read_bytes())
    change(data)
    (folder / "slim.safetensors").write_bytes(data)
    shutil.copy(GOLDEN / "slim.json", folder)
    return folder


def test_damage_is_noticed_by_whom_it_concerns(
    slim: Encoder, picture: Picture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {w: slim.encode(picture, RateSetting(30_000, width=w)) for w in WIDTHS}
    header = json.loads((GOLDEN / "slim.safetensors").read_bytes()[8 : 8 + _header_length()])
    begin, end = header["synthesis_net.24.1.mix.weight"]["data_offsets"]

    def damage(data: bytearray) -> None:
        data[8 + _header_length() + (begin + end) // 2] ^= 1

    monkeypatch.setenv("VRCODEC_WEIGHTS", str(copied_weights(tmp_path / "part", damage)))
    assert Decoder().decode(files[8]).pixels.shape == picture.pixels.shape
    with pytest.raises(WeightsError, match="damaged; install"):
        Decoder().decode(files[24])

    for place in (_header_length(), 1, 7):
        folder = copied_weights(
            tmp_path / str(place), lambda data, n=place: data.__setitem__(n, data[n] ^ 1)
        )
        monkeypatch.setenv("VRCODEC_WEIGHTS", str(folder))
        with pytest.raises(WeightsError, match="but their card says"):
            Decoder().decode(files[8])


def _header_length() -> int:
    return int.from_bytes((GOLDEN / "slim.safetensors").read_bytes()[:8], "little")


def test_the_header_tells_the_id() -> None:
    data = (GOLDEN / "slim.safetensors").read_bytes()
    assert weights_id(data) == weights_id(data[: 8 + _header_length()]) == find_by_family("slim").id
    assert pack_model(unpack_model(data, "copy")) == data


def test_files_cut_short(
    tmp_path: Path, slim: Encoder, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = slim.encode(picture, 0)
    for length in (0, 5, 100, _header_length() + 7, _header_length() + 5000):
        folder = copied_weights(
            tmp_path / str(length), lambda d, n=length: d.__delitem__(slice(n, None))
        )
        monkeypatch.setenv("VRCODEC_WEIGHTS", str(folder))
        with pytest.raises(WeightsError):
            Decoder().decode(data)


def test_both_ways_of_loading_give_the_same(slim: Encoder, picture: Picture) -> None:
    """In part, as the coder does; and whole, with gradients, as a trainer does."""
    model = load_trainable(find_by_family("slim"))
    pixels = picture.pixels[:144, :192]
    x = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255
    ours = model_of(slim)
    for width in WIDTHS:
        y = ours.analyse_at_width(ours.analyse(pixels), width)
        with torch.no_grad():
            own = model.all_widths()[width]  # type: ignore[operator]
            theirs = model.run_narrow(own, "analysis_net", x - 0.5)  # type: ignore[operator]
        assert torch.allclose(y, theirs, atol=2e-3)


# --- the rate ---


def test_widths_rise_with_the_rate(slim: Encoder) -> None:
    model = model_of(slim)
    states = [model.rate_parameters(code) for code in range(0, RATE_CODE_MAX + 1, 257)]
    widths = [state.width for state in states]
    assert widths == sorted(widths)
    assert {*widths} <= {*WIDTHS}
    assert all(0 <= state.level <= RATE_CODE_MAX for state in states)
    rates = model.scheduled_rates()
    assert list(rates) == list(WIDTHS)
    assert rates[WIDTHS[0]][0] == 0
    assert rates[WIDTHS[-1]][1] == 1
