"""What a file is tuned for: which weights are taken, what the search aims at, and scores as targets."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import vrcodec
from tests.conftest import GOLDEN, Pixels
from vrcodec.bench.codecs import Family, choose_families
from vrcodec.bench.request import Request, collect_provenance, make_plan
from vrcodec.bitstream.rate_setting import RateSetting
from vrcodec.catalog import find_by_family, find_by_id, weights_id
from vrcodec.codec import Decoder, Encoder, derive_rate_parameters
from vrcodec.engine import Engine
from vrcodec.errors import UsageError
from vrcodec.metrics import ssimulacra2
from vrcodec.picture.picture import Picture
from vrcodec.rate import RATE_CODE_MAX
from vrcodec.refinement.distortion import Original, PerceptualLoss
from vrcodec.refinement.effort import Effort
from vrcodec.refinement.refine import create_surrogate
from vrcodec.search.rate_control import encode_to_target
from vrcodec.search.target import POINTS_TOLERANCE, Target

TUNED = "ssimulacra2"


@pytest.fixture
def tuned_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the tiny weights of `gained`, and others of it that are tuned for SSIMULACRA 2."""
    folder = tmp_path / "weights"
    folder.mkdir()
    for suffix in (".json", ".safetensors"):
        shutil.copy(GOLDEN / f"gained{suffix}", folder)
    data = (GOLDEN / "gained.safetensors").read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    tensors = load_file(GOLDEN / "gained.safetensors")
    first = min(name for name in tensors if tensors[name].dtype.kind == "f")
    tensors[first] = tensors[first] * 1.01
    path = folder / f"gained-{TUNED}.safetensors"
    save_file(tensors, path, header["__metadata__"])
    card = json.loads((GOLDEN / "gained.json").read_text())
    card |= {"tune": TUNED, "id": weights_id(path.read_bytes()).hex()}
    path.with_suffix(".json").write_text(json.dumps(card))
    monkeypatch.setenv("VRCODEC_WEIGHTS", str(folder))
    return folder


def test_weights_are_found_by_what_they_are_tuned_for(tuned_weights: Path) -> None:
    plain, tuned = (find_by_family("gained", tune) for tune in ("psnr", TUNED))
    assert (plain.tune, tuned.tune) == ("psnr", TUNED)
    # Where there are some for the eye, they are the default.
    assert find_by_family("gained") == tuned
    assert find_by_family("slim").tune == "psnr"
    assert find_by_id(plain.id) == plain
    # Of a tune that no weights have, any do.
    assert find_by_family("gained", "msssim") == plain


def test_files_of_either_decode(tuned_weights: Path, photograph: Pixels) -> None:
    default, plain, tuned = (
        vrcodec.encode(photograph, 0.5, model="gained", tune=tune) for tune in (None, "psnr", TUNED)
    )
    assert default == tuned
    ids = [vrcodec.inspect(data).weights_id for data in (plain, tuned)]
    assert ids == [find_by_family("gained", tune).id.hex() for tune in ("psnr", TUNED)]
    for data in (plain, tuned):
        assert vrcodec.decode(data).size == photograph.shape[1::-1]


def test_the_command_takes_the_tune(
    tuned_weights: Path, run: Callable[..., int], picture_file: Path, tmp_path: Path
) -> None:
    arguments = ("encode", picture_file.name, "--model", "gained", "--tune", TUNED)
    assert run(*arguments, "-o", "a.vrc") == 0
    # Through workers, too.
    (tmp_path / "folder").mkdir()
    assert run(*arguments, "-o", "folder/", "--jobs", "1") == 0
    one = (tmp_path / "a.vrc").read_bytes()
    many = (tmp_path / "folder" / picture_file.with_suffix(".vrc").name).read_bytes()
    for data in (one, many):
        assert vrcodec.inspect(data).weights_id == find_by_family("gained", TUNED).id.hex()


def test_a_target_of_quality_takes_the_weights_that_are_tuned_for_it(
    tuned_weights: Path, run: Callable[..., int], picture_file: Path, tmp_path: Path
) -> None:
    for target, tune in (("--psnr", "psnr"), ("--ssimulacra2", TUNED), ("--bpp", TUNED)):
        arguments = ("--model", "gained", target, "1", "--lossless", "never", "-f", "-o", "a.vrc")
        assert run("encode", picture_file.name, *arguments) == 0
        identity = vrcodec.inspect((tmp_path / "a.vrc").read_bytes()).weights_id
        assert identity == find_by_family("gained", tune).id.hex(), target


def test_what_nothing_aims_at_is_refused(run: Callable[..., int], picture_file: Path) -> None:
    for tune in (TUNED, "msssim"):
        with pytest.raises(UsageError, match="effort above 0"):
            vrcodec.encode(picture_file, model="gained", tune=tune)
        assert run("encode", picture_file.name, "--model", "gained", "--tune", tune) == 2
    assert not picture_file.with_suffix(".vrc").exists()


def test_the_search_lowers_its_own_loss(photograph: Pixels) -> None:
    encoder, picture = Encoder("qvrf"), Picture(photograph)
    setting = RateSetting(40_000)
    rate = derive_rate_parameters(encoder.model, setting, picture.width, picture.height)
    surrogate = create_surrogate(encoder.model, encoder.analyse(picture), rate)
    loss = PerceptualLoss(Original(photograph, encoder.model.backend.device), surrogate.levels)

    def cost(data: bytes) -> float:
        return 8 * len(data) + loss.of_picture(Decoder().decode(data).pixels)

    plain = encoder.encode(picture, setting)
    tuned = encoder.encode(picture, setting, effort=Effort(5, tune=TUNED))
    for_psnr = encoder.encode(picture, setting, effort=Effort(5))
    assert cost(tuned) < min(cost(plain), cost(for_psnr))


def test_pictures_too_small_for_a_score_are_searched_all_the_same(encoder: Encoder) -> None:
    picture = Picture(np.full((5, 40, 3), 99, np.uint8))
    data = encoder.encode(picture, RateSetting(30_000), effort=Effort(2, tune=TUNED))
    assert Decoder().decode(data).pixels.shape == picture.pixels.shape
    with pytest.raises(UsageError, match="SSIMULACRA 2 is not defined"):
        encode_to_target(encoder, Decoder(), picture, Target(TUNED, 3), lossless="never")


@pytest.mark.parametrize("share", [0.2, 0.7])
def test_scores_as_targets(
    encoder: Encoder, decoder: Decoder, photograph: Pixels, share: float
) -> None:
    picture = Picture(photograph)

    def score(data: bytes) -> float:
        value = ssimulacra2(photograph, decoder.decode(data).pixels)
        assert value is not None
        return value

    low, high = (score(encoder.encode(picture, code)) for code in (0, RATE_CODE_MAX))
    wanted = low + share * (high - low)
    found = encode_to_target(encoder, decoder, picture, Target(TUNED, wanted), lossless="never")
    assert found.achieved == pytest.approx(score(found.data))
    assert wanted <= found.achieved <= wanted + POINTS_TOLERANCE
    # No model has it, and no loss does.
    exact = encode_to_target(encoder, decoder, picture, Target(TUNED, 99))
    assert (exact.code, exact.achieved) == (None, 100)


def test_a_score_is_at_most_100() -> None:
    with pytest.raises(UsageError, match="at most 100"):
        Target(TUNED, 101)


def test_curves_for_each_tune(tuned_weights: Path) -> None:
    families = choose_families(
        ["gained"], (0.5,), "rate", Engine(), (0, 1), ("psnr", TUNED, "msssim")
    )
    names = [(family.name, family.title) for family in families]
    assert names == [
        ("gained-psnr", "vrcodec gained, for PSNR"),
        ("gained", "vrcodec gained, for SSIMULACRA 2"),
        ("gained-effort1-psnr", "vrcodec gained, effort 1, for PSNR"),
        ("gained-effort1", "vrcodec gained, effort 1, for SSIMULACRA 2"),
        ("gained-effort1-msssim", "vrcodec gained, effort 1, for MS-SSIM"),
    ]
    assert len({family.identity for family in families}) == 5
    # By default what each family's weights are for.
    plain = choose_families(["gained", "slim"], (0.5,), "rate", Engine())
    assert [family.title for family in plain] == [
        "vrcodec gained, for SSIMULACRA 2",
        "vrcodec slim, for PSNR",
    ]
    coder = Family("gained", (0.5,), tune=TUNED).coder()
    data = coder.encode(Picture(np.full((20, 20, 3), 9, np.uint8)), 0.5)
    assert coder.decode(data).pixels.shape == (20, 20, 3)
    with pytest.raises(UsageError, match="give --efforts"):
        choose_families(["gained"], (0.5,), "rate", Engine(), (0,), ("msssim",))


def test_the_weights_of_every_tune_are_told(tuned_weights: Path, picture_file: Path) -> None:
    request = Request(
        (picture_file,), models=("gained",), tunes=("psnr", TUNED), rivals=("none",), efforts=(0, 1)
    )
    weights = collect_provenance(request, make_plan(request, print))["weights"]
    assert list(weights) == ["gained-psnr", "gained"]
    assert len(set(weights.values())) == 2
