"""`vrcodec bench --efforts`: each effort is a curve of its own, and what was measured before stays valid."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import GOLDEN, Command, Pixels
from vrcodec.bench.codecs import Family, choose_families
from vrcodec.bench.rivals import RIVALS, Rival, expand_efforts
from vrcodec.bench.showcase import make_showcase
from vrcodec.catalog import DEFAULT_MODEL, find_by_family
from vrcodec.codec import Encoder
from vrcodec.engine import Engine
from vrcodec.picture.picture import Picture
from vrcodec.refinement.effort import NO_EFFORT, Effort
from vrcodec.search.rate_control import encode_to_target

Run = Callable[..., int]
# Of the tiny weights.
TUNE, AIM = "psnr", "PSNR"
PACED = [name for name, rival in RIVALS.items() if rival.effort_scale]


def curves(path: Path) -> dict[str, Any]:
    return {curve["name"]: curve for curve in json.loads(path.read_text())["curves"]}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Effort]:
    """The effort of every call of the encoder."""
    efforts: list[Effort] = []
    original = Encoder.encode

    def encode(self: Encoder, *arguments: Any, effort: Effort = NO_EFFORT, **rest: Any) -> bytes:
        efforts.append(effort)
        return original(self, *arguments, effort=effort, **rest)

    monkeypatch.setattr(Encoder, "encode", encode)
    return efforts


def test_every_effort_is_a_curve(
    run: Run, folder: Path, tmp_path: Path, asked: list[Effort]
) -> None:
    arguments = ("--rates", "0,1", "--efforts", "0,2", "--rivals", "webp,avif-psnr,jxl")
    outputs = ("--json", "out.json", "--plot", "out.svg", "--csv", "out.csv")
    assert run("bench", folder, *arguments, *outputs, "--anchor", DEFAULT_MODEL) == 0
    found = curves(tmp_path / "out.json")
    assert {name: curve["title"] for name, curve in found.items()} == {
        DEFAULT_MODEL: f"vrcodec {DEFAULT_MODEL}, for {AIM}",
        f"{DEFAULT_MODEL}-effort2": f"vrcodec {DEFAULT_MODEL}, effort 2, for {AIM}",
        "webp": "WebP",
        "avif-psnr-speed9": "AVIF 4:4:4, for PSNR, speed 9",
        "avif-psnr-speed7": "AVIF 4:4:4, for PSNR, speed 7",
        "jxl-effort1": "JPEG XL, effort 1",
        "jxl-effort2": "JPEG XL, effort 2",
    }
    assert "speed 7, tune psnr" in found["avif-psnr-speed7"]["description"]
    assert set(asked) == {Effort(tune=TUNE), Effort(2, tune=TUNE)}
    weights = json.loads((tmp_path / "out.json").read_text())["weights"]
    assert weights.keys() == {DEFAULT_MODEL}


def test_what_the_search_aims_at_is_passed_on(
    run: Run, folder: Path, tmp_path: Path, asked: list[Effort]
) -> None:
    arguments = (
        "--rates",
        "0.5",
        "--efforts",
        "0,1",
        "--tune",
        f"{TUNE},msssim",
        "--rivals",
        "none",
    )
    assert run("bench", folder, *arguments, "--json", "out.json") == 0
    found = curves(tmp_path / "out.json")
    tuned = f"{DEFAULT_MODEL}-effort1-msssim"
    assert list(found) == [DEFAULT_MODEL, f"{DEFAULT_MODEL}-effort1", tuned]
    assert found[tuned]["title"] == f"vrcodec {DEFAULT_MODEL}, effort 1, for MS-SSIM"
    assert set(asked) == {Effort(tune=TUNE), Effort(1, tune=TUNE), Effort(1, tune="msssim")}


def test_efforts_hold_for_bits_per_pixel(
    run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    efforts = []

    def noted(*arguments: Any, effort: Effort, **rest: Any) -> Any:
        efforts.append(effort)
        return encode_to_target(*arguments, effort=effort, **rest)

    monkeypatch.setattr("vrcodec.bench.codecs.encode_to_target", noted)
    arguments = ("--bpps", "0.9,1.2", "--efforts", "1", "--rivals", "none", "--json", "out.json")
    assert run("bench", folder, *arguments) == 0
    (curve,) = curves(tmp_path / "out.json").values()
    assert curve["name"] == f"{DEFAULT_MODEL}-effort1"
    for limit, bpp in zip((0.9, 1.2), curve["results"]["bpp"], strict=True):
        assert 0.7 * limit < bpp <= limit
    assert set(efforts) == {Effort(1, tune=TUNE)}


def test_records_of_before_efforts_are_still_found(
    run: Run, folder: Path, measured_codecs: list[str]
) -> None:
    """The key in the cache is that of a plain family; each effort has another."""
    (plain,) = choose_families([DEFAULT_MODEL], (0.5,), "rate", Engine())
    weights = find_by_family(DEFAULT_MODEL).id.hex()
    assert plain.identity == f"{DEFAULT_MODEL} {weights} by rate on auto auto"
    arguments = ("bench", folder, "--rates", "0.5", "--rivals", "webp", "--resume")
    assert run(*arguments) == 0
    measured_codecs.clear()
    assert run(*arguments, "--efforts", "0,1") == 0
    assert measured_codecs == [f"{DEFAULT_MODEL}-effort1"] * 3


def test_another_encoder_of_the_same_weights_is_another_codec(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its files differ, though the weights that files name are the same."""
    family = Family("qarv", (0.5,))
    before = family.identity, family.settings
    card = json.loads((GOLDEN / "qarv.json").read_text())
    assert all(card["encoder_id"] in words for words in before)
    (tmp_path / "qarv.safetensors").symlink_to(GOLDEN / "qarv.safetensors")
    (tmp_path / "qarv.json").write_text(json.dumps({**card, "encoder_id": "0123456789abcdef"}))
    monkeypatch.setenv("VRCODEC_WEIGHTS", str(tmp_path))
    assert family.weights == card["id"]
    assert family.identity != before[0]


def test_a_tune_that_is_named_twice_makes_one_curve() -> None:
    families = choose_families([DEFAULT_MODEL], (0.5,), "rate", Engine(), (0, 1), (TUNE, TUNE))
    assert [family.name for family in families] == [DEFAULT_MODEL, f"{DEFAULT_MODEL}-effort1"]


def test_identities_differ() -> None:
    families = [
        Family(DEFAULT_MODEL, (0.5,), effort=effort, tune=tune)
        for effort in range(10)
        for tune in ("psnr", "msssim")
    ]
    assert len({family.identity for family in families}) == len(families)
    assert len({family.name for family in families}) == len(families)
    assert pickle.loads(pickle.dumps(families)) == families


def test_several_processes_know_the_effort(vrcodec: Command, folder: Path, tmp_path: Path) -> None:
    arguments = ("--rates", "0,1", "--efforts", "0,1", "--rivals", "avif", "--jobs", "2")
    result = vrcodec("bench", folder, *arguments, "--json", "out.json")
    assert result.returncode == 0, result.stderr
    found = curves(tmp_path / "out.json")
    ours = [DEFAULT_MODEL, f"{DEFAULT_MODEL}-effort1"]
    assert list(found) == [*ours, "avif-speed9", "avif-speed8"]
    assert found["avif-speed9"]["results"]["bpp"] != found["avif-speed8"]["results"]["bpp"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--efforts", "10"), "from 0 to 9"),
        (("--efforts", "-1,2"), "from 0 to 9"),
        (("--efforts", "0,1.5"), "whole numbers"),
        (("--efforts", "high"), "FIRST:LAST:STEP"),
        (("--tune", "msssim"), "give --efforts"),
        (("--efforts", "3", "--tune", "vmaf"), "msssim"),
    ],
)
def test_mistakes(
    run: Run,
    folder: Path,
    arguments: tuple[str, ...],
    words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("bench", folder, *arguments) == 2
    assert words in capsys.readouterr().err


# --- rivals ---


def available(name: str) -> Rival:
    if RIVALS[name].library() is None:
        pytest.skip("its library is not installed")
    return RIVALS[name]


@pytest.mark.parametrize("name", PACED)
def test_a_rival_is_slowed_down(name: str, photograph: Pixels) -> None:
    rival = available(name)
    picture, point = Picture.from_array(photograph), rival.points[4]
    fast, slow = rival.at_effort(0), rival.at_effort(6)
    files = [codec.encode(picture, point) for codec in (fast, slow)]
    assert files[0] != files[1]
    for codec, data in zip((fast, slow), files, strict=True):
        assert codec.decode(data).pixels.shape == photograph.shape
    assert fast.identity != slow.identity != rival.identity


@pytest.mark.parametrize("name", PACED)
def test_its_usual_pace_is_on_its_scale(name: str, photograph: Pixels) -> None:
    rival = available(name)
    (same,) = (rival.at_effort(e) for e in range(10) if rival.at_effort(e).fixed == rival.fixed)
    picture = Picture.from_array(photograph)
    assert same.encode(picture, 42) == rival.encode(picture, 42)


def test_one_without_a_scale_stays_as_it_is() -> None:
    assert expand_efforts([RIVALS["webp"]], (0, 3, 9)) == [RIVALS["webp"]]


def test_what_comes_to_the_same_is_measured_once() -> None:
    names = [rival.name for rival in expand_efforts([RIVALS["jxl"]], (0, 1, 9))]
    assert names == ["jxl-effort1", "jxl-effort9"]
    assert RIVALS["avif"].at_effort(9).fixed == "speed 0"


def test_a_slowed_rival_travels_between_processes(photograph: Pixels) -> None:
    rival = available("avif-psnr").at_effort(2)
    travelled = pickle.loads(pickle.dumps(rival))
    assert (travelled.name, travelled.identity) == (rival.name, rival.identity)
    picture = Picture.from_array(photograph)
    assert travelled.encode(picture, 42) == rival.encode(picture, 42)


def test_a_report_shows_each_codec_once(photograph: Pixels) -> None:
    families = choose_families([DEFAULT_MODEL], (0.5,), "rate", Engine(), (1, 2))
    rivals = expand_efforts([RIVALS["webp"], available("avif"), available("avif-psnr")], (1, 2))
    shown = make_showcase("a", Picture.from_array(photograph), [*families, *rivals])
    titles = [view.title for view in shown.levels[0]]
    assert titles == [
        f"vrcodec {DEFAULT_MODEL}, effort 1, for {AIM}",
        "WebP",
        "AVIF 4:4:4, speed 8",
    ]
