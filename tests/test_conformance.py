"""The conformance set: this program passes it, so does the reference decoder, and the runner notices faults."""

from __future__ import annotations

import ast
import hashlib
import os
import random
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from conformance.cases import CASES, Decoded, Refused, load_cases
from conformance.reference.container import RefusedError
from conformance.reference.networks import Weights
from conformance.reference.picture import decode, write_png
from conformance.runner import DecodeFile, check_all
from tests.conftest import GOLDEN, ROOT, needs_torch
from tests.extent import extent
from tests.fuzz.honest import honest_files
from tests.fuzz.mutations import mutate
from vrcodec.bitstream.rans import Symbols
from vrcodec.bitstream.symbol_coding import StreamReader
from vrcodec.codec import Decoder, Encoder
from vrcodec.engine import Engine
from vrcodec.errors import VrcError
from vrcodec.picture.picture import Picture

SET = load_cases()
EVERY: list[Decoded | Refused] = [*SET.decoded, *SET.refused]
# With PyTorch, which takes longer to begin with; `tests/test_golden.py` has the golden files in all ways.
SAMPLE = [case for case in EVERY if case.file.is_relative_to(CASES.parent)][::3]
Run = Callable[..., int]
Values = npt.NDArray[Any]


def problems(cases: list[Decoded | Refused], *arguments: object) -> dict[str, str]:
    """What is wrong by the name of the file. ``arguments``: of `check_all`, behind the cases."""
    results = check_all(cases, *arguments)  # type: ignore[arg-type]
    return {result.file.name: result.problem for result in results if result.problem}


@pytest.mark.parametrize(
    ("library", "cases"),
    [("numpy", EVERY), pytest.param("torch", extent(SAMPLE, EVERY), marks=needs_torch)],
    ids=["numpy", "torch"],
)
def test_this_program_passes(library: str, cases: list[Decoded | Refused], run: Run) -> None:
    def decoder(*options: str) -> DecodeFile:
        return lambda source, output: run(
            "decode", source, "-o", output, "-q", "--engine", library, *options
        )

    assert problems(cases, decoder(), decoder("--partial")) == {}


def reference(partial: bool) -> DecodeFile:
    """The reference decoder, without a process of its own."""

    def run(source: Path, output: Path) -> int:
        try:
            write_png(decode(source.read_bytes(), partial), str(output))
        except RefusedError:
            return 1
        return 0

    return run


def test_the_reference_decoder_passes() -> None:
    def hashed(source: Path) -> str:
        return decode(source.read_bytes()).symbols or ""

    assert problems(EVERY, reference(False), reference(True), hashed) == {}


def test_both_decoders_agree_on_mutated_files() -> None:
    """What one refuses the other refuses, and what both decode is the same."""
    rng, files = random.Random(4), list(honest_files().values())
    decoder = Decoder(Engine("cpu", library="numpy"))
    accepted = 0
    for _ in range(count := extent(200, 3000)):
        mutant = mutate(rng.choice(files), rng, files)
        try:
            found = decode(mutant).array
        except RefusedError:
            with pytest.raises(VrcError):
                decoder.decode(mutant)
            continue
        assert_within_a_step(found, decoder.decode(mutant).to_array())
        accepted += 1
    assert accepted > count // 20


def assert_within_a_step(one: Values, other: Values) -> None:
    assert one.shape == other.shape
    assert np.abs(one.astype(int) - other).max() <= 1


def test_this_program_reads_the_symbols_of_the_set(monkeypatch: pytest.MonkeyPatch) -> None:
    streams: dict[int, list[bytes]] = {}
    readers: list[StreamReader] = []
    get_static = StreamReader.get_static

    def recorded(reader: StreamReader, *arguments: object) -> Symbols:
        symbols = get_static(reader, *arguments)  # type: ignore[arg-type]
        # Kept, so that no other reader gets its id.
        readers.append(reader)
        streams.setdefault(id(reader), []).append(symbols.astype("<i4").tobytes())
        return symbols

    monkeypatch.setattr(StreamReader, "get_static", recorded)
    decoder = Decoder(Engine("cpu", library="numpy"))
    for case in SET.decoded:
        streams.clear()
        decoder.decode(case.file.read_bytes(), partial=case.partial)
        content = b"".join(part for parts in streams.values() for part in parts)
        assert case.symbols == (hashlib.sha256(content).hexdigest() if content else None)


def test_the_reference_decoder_reads_what_the_page_on_networks_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = (ROOT / "docs" / "NETWORKS.md").read_text()
    # Of tensors that no decoder needs, by the words in which the page says so.
    needless = [r"(hyper_)?analysis_net\b", r"log_(hyper_)?gain$", r"prior\.density\."]
    needless += [r"widths\.\d+\.switches\.analysis_net\."]
    assert (
        "Tensors whose names begin with `analysis_net`, `hyper_analysis_net` or `encoder`" in page
    )
    read: dict[str, set[str]] = {}
    get = Weights.__getitem__

    def recorded(weights: Weights, name: str) -> Values:
        read.setdefault(weights.id.hex(), set()).add(name)
        return get(weights, name)

    monkeypatch.setattr(Weights, "__getitem__", recorded)
    for case in SET.decoded:
        decode(case.file.read_bytes(), case.partial)
    for identity, path in SET.weights.items():
        left = set(Weights(path.read_bytes()).names()) - read[identity]
        assert [name for name in left if not any(re.match(n, name) for n in needless)] == []


@pytest.mark.parametrize("family", ["gained", "qvrf", "qmap", "slim", "qarv"])
def test_the_reference_decoder_reads_files_of_the_shipped_weights(
    family: str, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VRCODEC_WEIGHTS")
    engine = Engine("cpu", library="numpy")
    small = Picture.from_array(picture.pixels[:75, :90])
    data = Encoder(family, engine).encode(small, 30000)
    decoded = decode(data, weights=ROOT / "weights").array
    assert_within_a_step(decoded, Decoder(engine).decode(data).to_array())


def test_the_reference_decoder_knows_nothing_of_this_program() -> None:
    for path in (CASES.parent / "reference").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in getattr(node, "names", ())]
            module = getattr(node, "module", None) or ""
            assert not any(n.partition(".")[0] == "vrcodec" for n in (module, *names)), path.name


def test_the_set_is_whole_and_small() -> None:
    # Those of earlier generations of shipped weights need these.
    own = {*CASES.parent.rglob("*.vrc"), *GOLDEN.glob("*.vrc"), *GOLDEN.glob("sides/*.vrc")}
    assert {case.file for case in EVERY} == own
    pictures = {case.picture for case in SET.decoded}
    assert sum(path.stat().st_size for path in (*own, *pictures)) < 2_000_000
    assert set(CASES.parent.rglob("*.png")) <= pictures
    for identity, path in SET.weights.items():
        assert Weights(path.read_bytes()).id.hex() == identity


def shifted(source: Path, output: Path) -> int:
    """A decoder whose pictures are too bright by two steps."""
    picture = decode(source.read_bytes())
    brighter = np.minimum(picture.array.astype(int) + 2, 255).astype(np.uint8)
    Image.fromarray(brighter).save(output)
    return 0


def cropped(source: Path, output: Path) -> int:
    """A decoder that forgets a column."""
    Image.fromarray(decode(source.read_bytes()).array[:, 1:]).save(output)
    return 0


def without_metadata(source: Path, output: Path) -> int:
    """A decoder that drops metadata."""
    Image.fromarray(decode(source.read_bytes()).array).save(output)
    return 0


@pytest.mark.parametrize(
    ("decoder", "name", "problem"),
    [
        (shifted, "photograph.vrc", "samples differ"),
        (shifted, "lossless_rgb.vrc", "samples differ"),
        (cropped, "photograph.vrc", "129 x 131 pixels"),
        (without_metadata, "metadata.vrc", "icc_profile is missing"),
        (lambda source, output: 0, "photograph.vrc", "no picture"),
        (lambda source, output: 3, "photograph.vrc", "refused, with exit code 3"),
        (lambda source, output: -11, "magic.vrc", "ended by a signal"),
        (lambda source, output: 139, "magic.vrc", "ended by a signal"),
        (lambda source, output: 0, "magic.vrc", "must be refused: another magic"),
    ],
)
def test_the_runner_notices(decoder: DecodeFile, name: str, problem: str) -> None:
    (case,) = (case for case in EVERY if case.file.name == name)
    assert problem in problems([case], decoder)[name]


def test_a_step_more_is_no_error_but_where_it_is_exact() -> None:
    def brighter(source: Path, output: Path) -> int:
        array = decode(source.read_bytes()).array
        Image.fromarray(array + (array < 255).astype(np.uint8)).save(output)
        return 0

    cases = {case.file.name: case for case in SET.decoded}
    assert problems([cases["dot.vrc"]], brighter) == {}
    assert (
        "the first in column 0, row 0, R" in problems([cases["cells.vrc"]], brighter)["cells.vrc"]
    )


def test_symbols_are_compared() -> None:
    (case,) = (case for case in SET.decoded if case.file.name == "dot.vrc")
    assert problems([case], reference(False), None, lambda source: "0" * 64) == {
        "dot.vrc": "other symbols"
    }


@pytest.mark.parametrize(("options", "code"), [((), 0), (("--partial",), 1)])
def test_from_the_command_line(options: tuple[str, ...], code: int) -> None:
    command = f"{sys.executable} -m conformance.reference {{input}} {{output}}"
    # A reader that takes files that end early fails where they are to be refused.
    words = [sys.executable, "-m", "conformance", " ".join((command, *options))]
    result = subprocess.run(
        [*words, "--only", "cut_in_levels.vrc"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == code, result.stderr
    assert f"{1 - code} of 1 passed" in result.stdout
