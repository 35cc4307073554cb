"""Frozen files decode for ever: same symbols (their checksum is in the file), pixels within one step."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.conftest import GOLDEN, GOLDEN_NAMES, needs_torch
from vrcodec.bitstream.container import build_container, parse_container
from vrcodec.bitstream.inspection import check_structure, parse_progressive_chunk
from vrcodec.bitstream.latent_stream import build_stream, parse_stream
from vrcodec.bitstream.progressive import build_progressive
from vrcodec.codec import Decoder
from vrcodec.engine import Engine
from vrcodec.errors import WeightsError

ENGINES = {
    "numpy": Engine("cpu", library="numpy"),
    "float32": Engine("cpu", "float32", library="torch"),
    "bfloat16": Engine("cpu", "bfloat16", library="torch"),
}


@pytest.mark.parametrize(
    "engine",
    ["numpy", *(pytest.param(name, marks=needs_torch) for name in ("float32", "bfloat16"))],
)
@pytest.mark.parametrize("name", GOLDEN_NAMES)
def test_decodes_as_it_did_when_it_was_made(name: str, engine: str) -> None:
    decoded = Decoder(ENGINES[engine]).decode((GOLDEN / f"{name}.vrc").read_bytes())
    with Image.open(GOLDEN / f"{name}.png") as image:
        expected = np.asarray(image)
    array = decoded.to_array()
    assert array.shape == expected.shape
    assert np.abs(array.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("name", GOLDEN_NAMES)
def test_structure_is_as_it_was(name: str) -> None:
    data = (GOLDEN / f"{name}.vrc").read_bytes()
    expected: dict[str, Any] = {}
    for path in GOLDEN.glob("*expected.json"):
        expected |= json.loads(path.read_text())
    info = check_structure(data)
    assert (info.bytes, info.streams) == (expected[name]["bytes"], expected[name]["streams"])
    container = parse_container(data)
    assert build_container(container) == data
    progressive = parse_progressive_chunk(container)
    for chunk in container.latent_chunks():
        again = (
            build_progressive(progressive.streams)
            if progressive
            else build_stream(parse_stream(chunk.payload))
        )
        assert again == chunk.payload


def test_other_weights_are_named(decoder: Decoder) -> None:
    container = parse_container((GOLDEN / "dot.vrc").read_bytes())
    other = replace(container, header=replace(container.header, weights_id=b"\xab" * 8))
    with pytest.raises(WeightsError, match="abababababababab"):
        decoder.decode(build_container(other))
