"""The entropy coder in plain Python against the compiled one: the same bits, also of what nobody encoded."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import GOLDEN, GOLDEN_NAMES
from vrcodec.bitstream import plain_ans, rans
from vrcodec.bitstream.plain_ans import PlainAnsCoder
from vrcodec.bitstream.tables import gaussian_tables
from vrcodec.codec import Decoder, Encoder
from vrcodec.engine import Engine
from vrcodec.picture.picture import Picture

compiled_ans = pytest.importorskip("vrcodec.bitstream.compiled_ans", reason="no constriction")

SET = gaussian_tables()
PLAIN = [plain_ans.Table(SET.table(k)) for k in range(len(SET))]
COMPILED = [compiled_ans.Table(SET.table(k)) for k in range(len(SET))]

# A table with symbols of it, or numbers with the bits that each takes.
symbols_of_a_table = st.integers(0, len(SET) - 1).flatmap(
    lambda k: st.tuples(
        st.just(k), st.lists(st.integers(0, int(SET.sizes[k]) - 1), min_size=1, max_size=30)
    )
)
numbers = st.lists(
    st.integers(1, 20).flatmap(lambda b: st.tuples(st.just(b), st.integers(0, 2**b - 1))),
    min_size=1,
    max_size=12,
)
steps = st.lists(st.one_of(symbols_of_a_table, numbers), max_size=8)


def as_arrays(step: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    lengths, values = (np.array(column, np.int32) for column in zip(*step, strict=True))
    return lengths, values


@given(steps)
def test_both_write_the_same_words(chosen: list) -> None:  # type: ignore[type-arg]
    plain, compiled = PlainAnsCoder(), compiled_ans.CompiledAnsCoder()
    for step in chosen:
        if isinstance(step, tuple):
            table, values = step[0], np.array(step[1], np.int32)
            plain.encode_table(values, PLAIN[table])
            compiled.encode_table(values, COMPILED[table])
        else:
            lengths, values = as_arrays(step)
            plain.encode_bits(values, lengths)
            compiled.encode_bits(values, lengths)
        assert plain.word_count() == compiled.word_count()
    assert plain.words().tolist() == compiled.words().tolist()
    reader = PlainAnsCoder(plain.words())
    for step in reversed(chosen):
        if isinstance(step, tuple):
            assert reader.decode_table(PLAIN[step[0]], len(step[1])).tolist() == step[1]
        else:
            lengths, values = as_arrays(step)
            assert reader.decode_bits(lengths).tolist() == values.tolist()
    assert reader.is_empty()


@given(st.lists(st.integers(1, 2**32 - 1), max_size=9), steps)
def test_both_read_the_same_from_noise(words: list[int], chosen: list) -> None:  # type: ignore[type-arg]
    given_words = np.array(words, np.uint32)
    plain, compiled = PlainAnsCoder(given_words), compiled_ans.CompiledAnsCoder(given_words)
    for step in chosen:
        if isinstance(step, tuple):
            one = plain.decode_table(PLAIN[step[0]], len(step[1]))
            other = compiled.decode_table(COMPILED[step[0]], len(step[1]))
        else:
            lengths, _ = as_arrays(step)
            one, other = plain.decode_bits(lengths), compiled.decode_bits(lengths)
        assert one.tolist() == other.tolist()
        assert plain.word_count() == compiled.word_count()
        assert plain.is_empty() == compiled.is_empty()


@pytest.fixture
def without_constriction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rans, "AnsCoder", PlainAnsCoder)
    monkeypatch.setattr(rans, "Table", plain_ans.Table)


@pytest.mark.parametrize("name", GOLDEN_NAMES)
def test_golden_files(without_constriction: None, name: str, photograph: np.ndarray) -> None:
    data = (GOLDEN / f"{name}.vrc").read_bytes()
    Decoder(Engine("cpu", library="numpy")).decode(data)


def test_files_are_the_same(photograph: np.ndarray, request: pytest.FixtureRequest) -> None:
    """Of every family, escapes among their symbols."""
    noise = np.random.default_rng(0).integers(0, 256, photograph.shape, np.uint8)
    engine = Engine("cpu", library="numpy")

    def files() -> list[bytes]:
        return [
            Encoder(family, engine).encode(Picture.from_array(pixels), 65_535)
            for family in ("gained", "slim", "qarv")
            for pixels in (photograph, noise)
        ]

    expected = files()
    request.getfixturevalue("without_constriction")
    assert files() == expected
