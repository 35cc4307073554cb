"""Networks in CompressAI's layout: the same pictures as by CompressAI, exact everywhere, and trained on."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import vrcodec
from tests.compressai_networks import KINDS, VARIABLE, random_network
from tests.conftest import Pixels
from vrcodec.bitstream.container import parse_container
from vrcodec.catalog import find_by_family
from vrcodec.codec import Decoder, Encoder
from vrcodec.engine import Engine
from vrcodec.errors import UsageError, VrcError, WeightsError
from vrcodec.models import GdnHyperprior
from vrcodec.models.coding.decode_plan import DecodePlan
from vrcodec.models.hyperprior import GainParameters
from vrcodec.models.learning.passes import run as run_model
from vrcodec.models.learning.trainable import attach_training, load_trainable
from vrcodec.models.networks.backbone import BackboneSize
from vrcodec.models.networks.module import initialised
from vrcodec.models.weights import pack_model, unpack_model
from vrcodec.picture.picture import Picture
from vrcodec.rate import RATE_CODE_MAX
from vrcodec.regions.region import Rectangle, Region
from vrcodec.regions.tiling import Tiling
from vrcodec.training.compressai_import import MAX_CHANNELS, import_checkpoint
from vrcodec.weights.store import check_name, remove

Run = Callable[..., int]
State = dict[str, Any]

LIBRARIES = ("torch", "numpy")
LAYOUTS = [*KINDS, *VARIABLE]


def saved(tmp_path: Path, content: object, name: str = "checkpoint.pth.tar") -> Path:
    path = tmp_path / name
    torch.save(content, path)
    return path


def state_of(layout: str, **options: Any) -> State:
    return dict(random_network(layout, **options).state_dict())


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return saved(tmp_path, state_of("mbt2018-mean"))


@pytest.fixture
def imported(run: Run, checkpoint: Path) -> Iterator[str]:
    """The name of a network in the store."""
    assert run("import", checkpoint, "--as", "mine", "-q") == 0
    yield "mine"
    for entry in vrcodec_entries("mine"):
        remove(entry)


def vrcodec_entries(name: str) -> list[Any]:
    from vrcodec.weights import installed_weights, store_folder

    return [
        e for e in installed_weights() if e.model == name and e.path.parents[1] == store_folder()
    ]


def coding_model(model: GdnHyperprior, library: str) -> GdnHyperprior:
    """As a weights file has it, for coding."""
    from vrcodec.models.backends import choose_backend

    again = unpack_model(pack_model(model), "imported")
    again.prepare(choose_backend(Engine("cpu", "float32", library=library)))
    assert isinstance(again, GdnHyperprior)
    return again


def reconstruct(model: GdnHyperprior, pixels: Pixels, rate: GainParameters) -> tuple[Any, Any]:
    """y_hat and x_hat, not rounded, from coded streams."""
    height, width = pixels.shape[:2]
    streams = model.compress(model.analyse(pixels), rate)
    plan = DecodePlan.of_picture(width, height, model.halo)
    ((_, y_hat),) = model.decode_blocks(streams, rate, plan)
    numpy = model.backend.kernels.to_numpy
    return numpy(y_hat), numpy(model.synthesis_net(y_hat)) + 0.5


@torch.no_grad()
def compressais(net: Any, pixels: Pixels) -> tuple[Tensor, Tensor]:
    """x_hat by CompressAI's forward pass, and by its compressed strings."""
    x = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255
    net.update(force=True)
    return net(x)["x_hat"], net.decompress(**net.compress(x))["x_hat"]


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("layout", KINDS)
def test_the_picture_is_compressais(
    tmp_path: Path, photograph: Pixels, layout: str, library: str
) -> None:
    net, pixels = random_network(layout), photograph[:128, :192]
    expected, coded = compressais(net, pixels)
    found = import_checkpoint(saved(tmp_path, net.state_dict()), 0.0067)
    assert found.layout == layout
    model = coding_model(found.model, library)
    rate = model.rate_parameters(found.rate_code)
    assert float(rate.gains.gain.reshape(())) == pytest.approx(1, abs=1e-6)
    _, x_hat = reconstruct(model, pixels, rate)
    assert np.abs(x_hat - expected.numpy()).max() < 1e-4
    assert np.abs(x_hat.clip(0, 1) - coded.numpy()).max() < 1e-4
    # Not because all of it is grey.
    assert x_hat.std() > 0.05


@pytest.mark.parametrize("layout", KINDS)
def test_a_vrc_file_of_an_imported_network(
    tmp_path: Path, photograph: Pixels, layout: str, run: Run
) -> None:
    net, pixels = random_network(layout), photograph[:128, :192]
    expected, _ = compressais(net, pixels)
    path = saved(tmp_path, {"state_dict": net.state_dict(), "epoch": 3}, "x.pth")
    assert run("import", path, "--as", "mine", "-q") == 0
    data = vrcodec.encode(pixels, bin_size=1.0, model="mine", lossless="never")
    container = parse_container(data)
    assert (container.header.method, container.header.version) == (6, (1, 1))
    shown = (expected[0].permute(1, 2, 0).clamp(0, 1) * 255).numpy()
    for library in LIBRARIES:
        decoded = Decoder(Engine("cpu", "float32", library=library)).decode(data).pixels
        assert np.abs(decoded - shown).max() < 0.51
    sizes = [
        len(vrcodec.encode(pixels, rate, model="mine", lossless="never")) for rate in (0, 0.5, 1)
    ]
    assert sizes == sorted(sizes)
    assert sizes[2] > 2 * sizes[0]
    remove(find_by_family("mine"))


def test_tiles_crops_and_sizes_that_are_no_multiples(photograph: Pixels) -> None:
    """A tile sees as much as it depends on, in both libraries; no picture is too small."""
    for name in ("hyperprior", "scale_hyperprior"):
        encoder = Encoder(name, Engine("cpu", "float32"))
        tiled = Encoder(name, Engine("cpu", "float32", Tiling(side=2)))
        whole = encoder.model.analyse(photograph).y
        assert np.abs(whole - tiled.model.analyse(photograph).y).max() < 1e-4 * np.abs(whole).max()
        data = encoder.encode(Picture.from_array(photograph), 30_000)
        assert tiled.encode(Picture.from_array(photograph), 30_000) == data
        expected = Decoder(Engine("cpu", "float32")).decode(data).pixels.astype(int)
        assert expected.shape == photograph.shape
        region = Region(Rectangle(70, 33, 50, 61))
        for library in LIBRARIES:
            decoder = Decoder(Engine("cpu", "float32", Tiling(side=2), library=library))
            assert np.abs(decoder.decode(data).pixels - expected).max() <= 1
            part = decoder.decode(data, region=region).pixels
            assert np.abs(part - expected[33:94, 70:120]).max() <= 1
        dot = Picture.from_array(photograph[:1, :1].copy())
        assert Decoder().decode(encoder.encode(dot, 9)).pixels.shape == (1, 1, 3)


@pytest.mark.parametrize("layout", VARIABLE)
@pytest.mark.parametrize("varies_z", [False, True])
def test_gains_of_variable_rate_forms_are_the_regulators_start(
    tmp_path: Path, photograph: Pixels, layout: str, varies_z: bool
) -> None:
    """At each level's lambda a is its gain; y_hat is that of the same step, without offsets."""
    net, pixels = random_network(layout, vr_entbttlnck=varies_z), photograph[:64, :64]
    path = saved(tmp_path, net.state_dict())
    found = import_checkpoint(path)
    assert found.layout == layout
    model = coding_model(found.model, "torch")
    levels = np.log(np.array(net.lmbda) / 0.0006) / np.log(400)
    for level, gain in zip(levels, net.Gain.detach().numpy(), strict=True):
        rate = model.rate_parameters(round(RATE_CODE_MAX * float(level)))
        assert float(rate.gains.gain.reshape(())) == pytest.approx(gain, rel=0.01)
    rate = model.rate_parameters(found.rate_code)
    y_hat, _ = reconstruct(model, pixels, rate)
    x = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        y = net.g_a(x)
        medians = net.entropy_bottleneck._get_medians()[:, 0, 0, None, None]
        z = net.h_a(y if layout.startswith("mbt") else y.abs())
        out = net.h_s((z - medians).round() + medians)
        mean = out.chunk(2, 1)[1] if layout.startswith("mbt") else 0.0
        expected = (y - mean).round() + mean
    assert np.abs(y_hat - expected.numpy()).max() < 1e-3
    with pytest.raises(UsageError, match="lambdas of its levels"):
        import_checkpoint(path, 0.01)


def test_names_of_all_versions_and_wrappings(tmp_path: Path) -> None:
    """Parameters of the density by their three names, DataParallel, a state dict inside; half precision."""
    state = state_of("mbt2018-mean")

    def renamed(pattern: str) -> State:
        forms = {"matrices.": "_matri", "biases.": "_bia", "factors.": "_facto"}
        ends = {"_matri": "x", "_bia": "s", "_facto": "r"}
        result = {}
        for name, value in state.items():
            for long, short in forms.items():
                if pattern == "numbered":
                    name = name.replace(f"bottleneck.{long}", f"bottleneck.{short}{ends[short]}")
                else:
                    name = name.replace(f"bottleneck.{long}", f"bottleneck._{long}")
            result[name] = value
        return result

    expected = pack_model(import_checkpoint(saved(tmp_path, state)).model)
    for variant in (
        renamed("numbered"),
        renamed("underscored"),
        {f"module.{name}": value for name, value in state.items()},
        {"state_dict": OrderedDict(state), "optimizer": {"state": {}, "lr": 1e-4}, "epoch": 7},
        {
            name: value.double() if value.is_floating_point() else value
            for name, value in state.items()
        },
    ):
        assert pack_model(import_checkpoint(saved(tmp_path, variant)).model) == expected
    # The form before torch 1.6.
    path = tmp_path / "old.pth"
    torch.save(state, path, _use_new_zipfile_serialization=False)
    assert pack_model(import_checkpoint(path).model) == expected


class Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("code has run",)


def without(name: str) -> Callable[[State], object]:
    return lambda state: {k: v for k, v in state.items() if k != name}


def with_value(name: str, value: Any) -> Callable[[State], object]:
    return lambda state: {**state, name: value(state[name]) if callable(value) else value}


HOSTILE: dict[str, tuple[Callable[[State], object], str]] = {
    "code": (lambda s: {**s, "x": Malicious()}, "has .*print in it, which would be run"),
    "no dictionary": (lambda s: list(s.values()), "no tensors by name"),
    "a tensor": (lambda s: s["g_a.0.weight"], "no tensors by name"),
    "numbers for names": (lambda s: dict(enumerate(s.values())), "no tensors by name"),
    "nothing": (lambda s: {}, "there is no g_a.0.weight"),
    "a missing weight": (without("g_s.2.weight"), "g_s.2.weight is missing"),
    "a missing size": (without("h_s.4.weight"), "there is no h_s.4.weight"),
    "no density": (without("entropy_bottleneck.biases.2"), "bias2 is missing"),
    "no medians": (without("entropy_bottleneck.quantiles"), "quantiles is missing"),
    "another shape": (with_value("g_s.0.bias", lambda t: t[:-1]), "shape"),
    "another kernel": (with_value("g_a.2.weight", lambda t: t[..., :3, :3]), "shape"),
    "a scalar for a size": (
        with_value("g_a.0.weight", lambda t: t[0, 0, 0, 0]),
        "there is no g_a.0",
    ),
    "text for a size": (with_value("g_a.6.weight", "12"), "there is no g_a.6"),
    "text for a tensor": (with_value("g_a.4.bias", "12"), "g_a.4.bias is missing"),
    "NaN": (with_value("g_a.1.gamma", lambda t: t * float("nan")), "no numbers or infinite"),
    "beyond float32": (with_value("h_a.0.bias", lambda t: t.double() + 1e300), "infinite"),
    "whole numbers": (with_value("h_a.0.bias", lambda t: t.int()), "no tensor of real numbers"),
    "complex numbers": (
        with_value("h_a.0.bias", lambda t: t.cfloat()),
        "no tensor of real numbers",
    ),
    "sparse": (with_value("g_a.1.gamma", lambda t: t.to_sparse()), "no tensor of real numbers"),
    "on no device": (
        with_value("g_a.1.gamma", lambda t: t.to("meta")),
        "no tensor of real numbers",
    ),
    "absurd widths": (
        with_value("g_a.0.weight", torch.zeros(1, 3, 5, 5).expand(1 << 40, 3, 5, 5)),
        f"where 1 to {MAX_CHANNELS}",
    ),
    "as absurd behind": (
        with_value("g_s.2.weight", torch.zeros(1, 1, 1, 1).expand(1 << 20, 1 << 20, 5, 5)),
        "shape",
    ),
    "no channels": (with_value("g_a.6.weight", lambda t: t[:0]), "where 1 to"),
    "neither kind": (with_value("h_s.4.weight", lambda t: t[:-1]), "h_s gives 23 channels"),
    "a context model": (
        with_value("context_prediction.weight", torch.zeros(3)),
        "another architecture, with context_prediction.weight",
    ),
    "a tensor too many": (
        with_value("g_a.7.weight", torch.zeros(3)),
        "another architecture, with g_a.7.weight",
    ),
    "another density": (
        with_value("entropy_bottleneck.matrices.7", torch.ones(8, 3, 3)),
        "no use for the tensor",
    ),
    "gains of another number": (with_value("Gain", torch.ones(6)), "Gain has shape"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_such_checkpoint_is_refused(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    change, words = HOSTILE[name]
    path = saved(tmp_path, change(state_of("mbt2018-mean")))
    with pytest.raises(WeightsError, match=words) as raised:
        import_checkpoint(path)
    assert str(path) in str(raised.value)
    assert "code has run" not in capsys.readouterr().out


def test_other_architectures_are_refused(tmp_path: Path) -> None:
    from compressai.zoo import models

    for name in ("cheng2020-anchor", "mbt2018", "bmshj2018-factorized"):
        path = saved(tmp_path, models[name](1).state_dict())
        with pytest.raises(WeightsError, match=r"another architecture|no hyperprior"):
            import_checkpoint(path)


def test_files_that_are_none_are_refused(tmp_path: Path, checkpoint: Path) -> None:
    whole = checkpoint.read_bytes()
    path = tmp_path / "x.pth"
    for data in (b"", b"x" * 99, whole[:-200], whole[: len(whole) // 2], pickle.dumps(Malicious())):
        path.write_bytes(data)
        with pytest.raises(WeightsError, match=r"x\.pth: not a checkpoint"):
            import_checkpoint(path)
    with pytest.raises(WeightsError, match="cannot be read"):
        import_checkpoint(tmp_path)
    # Of the middle of a tensor, which PyTorch would take.
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    path.write_bytes(flipped)
    with pytest.raises(WeightsError, match="damaged"):
        import_checkpoint(path)
    rng = np.random.default_rng(0)
    for _ in range(20):
        damaged = bytearray(whole)
        for position in rng.integers(len(whole) // 50, size=4):
            damaged[position] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            import_checkpoint(path)
        except VrcError:
            continue


def test_a_packed_checkpoint_is_not_unpacked_without_end(
    tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "packed.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", bytes(1 << 22))
    monkeypatch.setattr("vrcodec.training.compressai_import._MAX_BYTES", 1 << 20)
    with pytest.raises(WeightsError, match="larger than any checkpoint"):
        import_checkpoint(path)


@pytest.mark.parametrize("trade_off", [1e-5, 0.5])
def test_a_lambda_lies_within_the_rates(checkpoint: Path, trade_off: float) -> None:
    with pytest.raises(UsageError, match=r"between 0\.0006 and 0\.24"):
        import_checkpoint(checkpoint, trade_off)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Mine",
        "my-net",
        "1st",
        "qvrf",
        "hyperprior",
        "lossless",
        "all",
        "a" * 32,
        "abcdef" * 2 + "abcd",
    ],
)
def test_names_that_mean_something_else_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="cannot name a network"):
        check_name(name)


def test_a_name_is_of_one_network(
    imported: str, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (first,) = vrcodec_entries(imported)
    assert (first.family, first.name, first.version) == ("hyperprior", "mine-1", 1)
    assert run("import", "checkpoint.pth.tar", "--as", "mine", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["id"], shown["layout"]) == (first.id.hex(), "mbt2018-mean")
    other = saved(tmp_path, state_of("mbt2018-mean", seed=1), "other.pth")
    assert run("import", other, "--as", "mine") == UsageError.exit_code
    assert "there are weights of this name" in capsys.readouterr().err
    assert run("import", "checkpoint.pth.tar", "--as", "yours") == UsageError.exit_code
    assert "here already, as mine-1" in capsys.readouterr().err
    assert run("weights", "show", "mine@1") == 0
    assert run("models") == 0
    assert "mine" in capsys.readouterr().out
    assert vrcodec_entries("yours") == []


def test_training_starts_from_what_was_imported(imported: str, photograph: Pixels) -> None:
    """The training pass in evaluation mode is what coding does."""
    entry, pixels = find_by_family(imported), photograph[:64, :128]
    model = load_trainable(entry)
    coded = coding_model(model, "torch")  # type: ignore[arg-type]
    x = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255
    for code in (0, 30_000, RATE_CODE_MAX):
        with torch.no_grad():
            out = run_model(model, x, torch.tensor([code / RATE_CODE_MAX]))
        _, x_hat = reconstruct(coded, pixels, coded.rate_parameters(code))
        assert (out.x_hat - torch.from_numpy(x_hat)).abs().max() < 1e-3


def test_a_scale_below_its_bound_can_rise(imported: str, photograph: Pixels) -> None:
    model = load_trainable(find_by_family(imported)).train()
    with torch.no_grad():
        model.get_parameter("hyper_synthesis_net.5.bias")[:12] -= 100
    x = torch.from_numpy(photograph[:64, :64].copy()).permute(2, 0, 1)[None].float() / 255
    out = run_model(model, x, torch.tensor([0.5]))
    (-out.likelihoods["y"].log().sum()).backward()
    gradient = model.get_parameter("hyper_synthesis_net.5.bias").grad
    assert (gradient[:12] < 0).any()
    assert torch.isfinite(gradient).all()


@pytest.mark.long
def test_training_on_makes_the_next_generation(
    imported: str, run: Run, tmp_path: Path, photograph: Pixels
) -> None:
    from PIL import Image

    (tmp_path / "pictures").mkdir()
    Image.fromarray(np.tile(photograph, (2, 2, 1))).save(tmp_path / "pictures" / "a.png")
    words = [
        "train",
        imported,
        "--data",
        "pictures",
        "--batch",
        "1",
        "--warmup",
        "1",
        "--device",
        "cpu",
    ]
    assert run(*words, "--steps", "2", "-o", "run", "-q") == 0
    assert run(*words, "--steps", "3", "-o", "run", "--resume", "-q") == 0
    card = json.loads((tmp_path / "run" / "mine.json").read_text())
    assert (card["name"], card["version"], card["family"]) == ("mine", 2, "hyperprior")
    assert [stage.get("steps", stage.get("layout")) for stage in card["training"]] == [
        "mbt2018-mean",
        3,
    ]
    assert run("weights", "add", "run/mine.safetensors", "-q") == 0
    assert find_by_family("mine").id.hex() == card["id"]
    first, second = sorted(vrcodec_entries("mine"), key=lambda entry: entry.version)
    assert (first.name, second.name) == ("mine-1", "mine-2")
    data = vrcodec.encode(photograph, 0.4, model="mine", lossless="never")
    assert vrcodec.inspect(data).weights_id == card["id"]
    assert vrcodec.decode(data).size == (200, 150)


def test_training_says_what_it_cannot_do(
    imported: str, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pictures").mkdir()
    words = ["train", "--data", "pictures", "--steps", "1"]
    for more, said in (
        (["nobody"], "no recipe for 'nobody'"),
        ([imported, "--small"], "has no small recipe"),
    ):
        assert run(*words, *more) != 0
        assert said in capsys.readouterr().err


@pytest.mark.parametrize("name", ["hyperprior", "scale_hyperprior"])
def test_a_search_finds_fewer_bits(name: str, photograph: Pixels) -> None:
    plain, refined = (
        vrcodec.encode(
            photograph[:64, :96], 0.4, model=name, lossless="never", effort=effort, tune="psnr"
        )
        for effort in (0, 1)
    )
    assert vrcodec.decode(refined).size == (96, 64)
    assert refined != plain


def test_new_networks_can_learn_all_of_gdn(photograph: Pixels) -> None:
    """Also what begins at nearly nothing, whose gradient is twice itself."""
    with initialised(0):
        model = GdnHyperprior(BackboneSize(channels=4, latent=6, hyper=4, blocks=0, prior=12))
    attach_training(model)
    x = torch.from_numpy(photograph[:64, :64].copy()).permute(2, 0, 1)[None].float() / 255
    out = run_model(model, x, torch.tensor([0.5]))
    (out.x_hat - x).square().sum().backward()
    for name in ("analysis_net.2.weight", "synthesis_net.5.weight"):
        assert (model.get_parameter(name).grad != 0).all()
