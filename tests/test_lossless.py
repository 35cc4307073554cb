"""Pictures without a model: exact, chosen where they are no larger, and always for bilevel ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import vrcodec
from tests.conftest import GOLDEN, Pixels, needs_torch, with_chunks
from tests.extent import examples
from tests.golden.make_sides import METADATA
from vrcodec.bitstream import schema
from vrcodec.bitstream.assembly import encode_lossless
from vrcodec.bitstream.container import Chunk, build_container, parse_container
from vrcodec.bitstream.inspection import check_structure, inspect
from vrcodec.bitstream.rate_setting import RateSetting
from vrcodec.codec import Decoder, Encoder
from vrcodec.errors import CorruptError, FormatError, TargetError, UsageError
from vrcodec.lossless.packing import pack
from vrcodec.picture.picture import Mode, Picture
from vrcodec.refinement.effort import Effort
from vrcodec.search.lossless_choice import encode_smallest
from vrcodec.search.rate_control import encode_to_target
from vrcodec.search.target import Target

BILEVEL = (GOLDEN / "sides" / "bilevel.vrc").read_bytes()


def graphic() -> Picture:
    """What a model has never seen, and a lossless codec likes."""
    y, x = np.mgrid[0:120, 0:160]
    squares = (((x // 20 + y // 30) % 2) * 180 + 30).astype(np.uint8)
    return Picture(np.repeat(squares[:, :, None], 3, axis=2))


@examples(60)
@given(
    st.integers(0, 99),
    st.tuples(st.integers(1, 30), st.integers(1, 30)) | st.just((1, 1030)),
    st.sampled_from(["1", "L", "RGB"]),
    st.booleans(),
)
def test_everything_comes_back(seed: int, size: tuple[int, int], mode: Mode, alpha: bool) -> None:
    random = np.random.default_rng(seed)
    array = random.integers(0, 256, (*size, 3), dtype=np.uint8)
    if mode == "1":
        array = (array > 99) * np.uint8(255)
    pixels = array if mode == "RGB" else np.repeat(array[:, :, :1], 3, axis=2)
    # Colours that nobody sees, too.
    opacity = random.integers(0, 3, size, dtype=np.uint8) if alpha else None
    picture = Picture(pixels, mode, opacity, METADATA)
    decoded = Decoder().decode(encode_lossless(picture))
    assert (decoded.pixels == pixels).all()
    assert (decoded.mode, decoded.metadata) == (mode, METADATA)
    assert (decoded.alpha is None) == (opacity is None)
    assert opacity is None or (decoded.alpha == opacity).all()


def test_what_is_smaller_is_taken(encoder: Encoder, photograph: Pixels) -> None:
    flat, photo, setting = graphic(), Picture(photograph), RateSetting(30_000)
    assert inspect(encode_smallest(encoder, flat, setting)).lossless
    assert not inspect(encode_smallest(encoder, flat, setting, lossless="never")).lossless
    assert inspect(encode_smallest(encoder, photo, setting, lossless="always")).lossless
    assert encode_smallest(encoder, photo, setting) == encoder.encode(photo, setting)
    exact = vrcodec.encode(flat.pixels)
    info = vrcodec.inspect(exact)
    assert (info.model, info.lossless, info.rate) == ("lossless", True, None)
    assert info.bytes < 300
    assert (np.asarray(vrcodec.decode(exact)) == flat.pixels).all()
    assert vrcodec.encode(flat.pixels, lossless_fallback=True) == exact


@pytest.mark.parametrize("kind", ["tiny", "two colours"])
def test_where_equal_neighbours_say_nothing_both_are_tried(
    kind: str, encoder: Encoder, photograph: Pixels
) -> None:
    random = np.random.default_rng(3)
    pixels = photograph[:5, :4]
    if kind == "two colours":
        pixels = random.choice(photograph[:2, 0], (80, 90))
    picture = Picture(np.ascontiguousarray(pixels))
    for code in (0, 65_535):
        data = encode_smallest(encoder, picture, RateSetting(code))
        files = encoder.encode_lossless(picture), encoder.encode(picture, code)
        assert data == min(files, key=len)


@needs_torch
def test_a_search_does_not_spoil_the_choice(encoder: Encoder, photograph: Pixels) -> None:
    """Also where no loss is a little larger than what the model makes without a search."""
    effort = Effort(1)
    for picture in (graphic(), Picture(photograph)):
        setting = RateSetting(30_000)
        found = encode_smallest(encoder, picture, setting, effort=effort)
        assert len(found) <= len(encode_smallest(encoder, picture, setting))


def test_modes_that_there_are_not(photograph: Pixels, run: Callable[..., int]) -> None:
    with pytest.raises(UsageError, match="auto, never, always"):
        vrcodec.encode(photograph, lossless="sometimes")  # type: ignore[arg-type]
    assert vrcodec.inspect(vrcodec.encode(photograph, lossless=True)).lossless
    assert not vrcodec.inspect(vrcodec.encode(graphic().pixels, lossless=False)).lossless
    with pytest.raises(UsageError, match="another word"):
        vrcodec.encode(photograph, lossless="never", lossless_fallback=True)
    assert run("encode", "a.png", "--lossless", "sometimes") == 2
    assert run("encode", "a.png", "--lossless", "never", "--lossless-fallback") == 2


def test_a_bilevel_picture_is_exact_at_any_rate(encoder: Encoder) -> None:
    bits = np.random.default_rng(0).random((40, 50)) > 0.5
    picture = Picture.from_array(bits)
    data = encoder.encode(picture, 0)
    assert data == encoder.encode(picture, 65535)
    assert (Decoder().decode(data).to_array() == bits).all()
    assert vrcodec.decode(vrcodec.encode(bits)).mode == "1"
    found = encode_to_target(encoder, Decoder(), picture, Target("psnr", 60), strict=True)
    assert (found.data, found.code) == (data, None)
    with pytest.raises(TargetError, match="without loss"):
        encode_to_target(encoder, Decoder(), picture, Target("size", 60), strict=True)
    assert encode_to_target(encoder, Decoder(), picture, Target("bpp", 9)).data == data


@pytest.mark.parametrize(
    ("target", "lossless", "met"),
    [
        # Anything within a size is worse.
        (Target("size", 10_000), True, True),
        (Target("bpp", 0.9), True, True),
        # No model's file is so small, and neither is this; it is the nearest.
        (Target("size", 60), True, False),
        (Target("psnr", 25), True, True),
        # No rate reaches that.
        (Target("psnr", 90), True, True),
        (Target("psnr", 101), True, True),
    ],
)
def test_targets_of_graphics(encoder: Encoder, target: Target, lossless: bool, met: bool) -> None:
    found = encode_to_target(encoder, Decoder(), graphic(), target)
    assert (inspect(found.data).lossless, found.met) == (lossless, met)
    if target.kind == "size":
        assert found.achieved == len(found.data)


def test_targets_that_a_model_serves_better(encoder: Encoder, photograph: Pixels) -> None:
    picture = Picture(photograph)
    for target in (Target("size", 3000), Target("psnr", 20)):
        found = encode_to_target(encoder, Decoder(), picture, target)
        assert found == encode_to_target(encoder, Decoder(), picture, target, lossless="never")
        assert found.code is not None


def test_a_target_without_loss(encoder: Encoder, photograph: Pixels) -> None:
    picture = Picture(photograph)
    size = len(encode_lossless(picture))
    for limit, met in ((size, True), (size - 1, False)):
        found = encode_to_target(
            encoder, Decoder(), picture, Target("size", limit), lossless="always"
        )
        assert (len(found.data), found.code, found.met) == (size, None, met)
    # No rate has that.
    found = encode_to_target(encoder, Decoder(), picture, Target("psnr", 90), strict=True)
    assert (len(found.data), found.code) == (size, None)


def test_no_weights_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("vrcodec.codec.load_model", fail)
    assert Decoder().decode(BILEVEL).mode == "1"


def test_there_is_no_rate(tmp_path: Path, run: Callable[..., int]) -> None:
    with pytest.raises(UsageError, match="no rate"):
        vrcodec.quality_map(BILEVEL)
    (tmp_path / "a.vrc").write_bytes(BILEVEL)
    assert run("info", "a.vrc", "--qmap-out", "map.png") == 2
    assert not (tmp_path / "map.png").exists()


def test_there_is_one_level() -> None:
    decoder = Decoder()
    coded = decoder.read(BILEVEL)
    assert decoder.reconstruct(coded, 1).mode == "1"
    with pytest.raises(UsageError, match="no level 2"):
        decoder.reconstruct(coded, 2)


def forged(**header: object) -> bytes:
    container = parse_container(BILEVEL)
    return build_container(replace(container, header=replace(container.header, **header)))


def test_headers_that_contradict_the_rest_are_refused(decoder: Decoder) -> None:
    model = parse_container((GOLDEN / "photograph.vrc").read_bytes())
    bilevel = replace(model, header=replace(model.header, mode=schema.MODE_BILEVEL))
    lossless = replace(model, header=replace(model.header, method=schema.METHOD_LOSSLESS))
    for data in (
        build_container(bilevel),
        build_container(lossless),
        forged(method=1),
        forged(width=91),
    ):
        with pytest.raises(CorruptError):
            decoder.decode(data)
    with pytest.raises(FormatError, match="mode 3"):
        decoder.decode(forged(mode=3))


def test_blocks_that_do_not_fit_are_refused(decoder: Decoder) -> None:
    info = inspect(BILEVEL)
    grey = np.full((info.height, info.width), 255, np.uint8)
    grey[3, 4] = 254
    own = parse_container(BILEVEL).latent_chunks()[0].payload
    for payloads in ([pack(grey)], [own, own], [own[:-1]], [], [b"\0\7"]):
        with pytest.raises(CorruptError):
            decoder.decode(with_chunks(schema.CHUNK_LOSSLESS, BILEVEL, *payloads))
    with pytest.raises(CorruptError):
        check_structure(with_chunks(schema.CHUNK_LOSSLESS, BILEVEL, own[:-1]))


def test_what_belongs_to_models_is_refused(decoder: Decoder) -> None:
    container = parse_container(BILEVEL)
    for chunk in (Chunk(schema.CHUNK_WIDTH, b"\1\0"), Chunk(schema.CHUNK_STREAM, bytes(6))):
        for chunks in ([chunk, *container.chunks], [*container.chunks, chunk]):
            with pytest.raises(CorruptError):
                decoder.decode(build_container(replace(container, chunks=chunks)))


def computed_patterns() -> dict[str, Pixels]:
    """Pictures without equal neighbours that are no photographs."""
    rows, columns = np.mgrid[0:120, 0:180]
    grey = {"plane": (rows + columns) // 2, "wrapped": (rows + columns) * 3 % 256}
    patterns = {name: values.astype(np.uint8) for name, values in grey.items()}
    patterns["xor"] = (rows ^ columns).astype(np.uint8)
    patterns["ramps"] = np.stack([columns, rows, 0 * rows], axis=2).astype(np.uint8)
    return patterns


@pytest.mark.parametrize("name", computed_patterns())
def test_auto_is_no_larger_than_no_loss(name: str) -> None:
    pixels = computed_patterns()[name]
    exact = len(vrcodec.encode(pixels, lossless="always"))
    for rate in (0.0, 0.5, 1.0):
        # At the lowest rates, by the guess, a few bytes may be missed.
        assert len(vrcodec.encode(pixels, rate)) <= exact + 100 * (rate == 0)


def test_photographs_are_not_tried_without_loss(
    photograph: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[Picture] = []
    monkeypatch.setattr(Encoder, "encode_lossless", lambda self, picture: tried.append(picture))
    vrcodec.encode(photograph, 1.0)
    assert not tried


def test_a_size_that_does_for_all_of_a_picture(encoder: Encoder, photograph: Pixels) -> None:
    picture = Picture.from_array(photograph[:48, :64].copy())
    exact = len(encoder.encode_lossless(picture))
    for value, expected in ((10 * exact, True), (exact, True), (exact // 2, False)):
        found = encode_to_target(encoder, Decoder(), picture, Target("size", value))
        assert (found.code is None) == expected
        assert len(found.data) <= value


def test_no_loss_meets_every_quality(encoder: Encoder, photograph: Pixels) -> None:
    picture = Picture.from_array(photograph[:48, :64].copy())
    found = encode_to_target(encoder, Decoder(), picture, Target("psnr", 120), strict=True)
    assert (found.met, found.code) == (True, None)
