"""No more of a file is read than a crop needs, and damage matters where it is needed."""

from __future__ import annotations

import io

import numpy as np
import pytest

from tests.large_picture import (
    FLOAT32,
    data,
    decoder,
    pixels,
    whole,
)
from vrcodec.bitstream import schema
from vrcodec.bitstream.container import parse_container
from vrcodec.bitstream.source import FileSource
from vrcodec.codec import Encoder
from vrcodec.errors import CorruptError
from vrcodec.picture.picture import Picture
from vrcodec.regions.region import Rectangle, Region


class CountingFile(io.BytesIO):
    """Knows which bytes were read."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.seen = np.zeros(len(content), bool)

    def read(self, size: int | None = -1, /) -> bytes:
        start = self.tell()
        content = super().read(size)
        self.seen[start : start + len(content)] = True
        return content


def spoiled(content: bytes, position: int) -> FileSource:
    return FileSource(
        io.BytesIO(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
    )


@pytest.mark.parametrize("kind", ["slim", "alpha", "lossless", "cells"])
def test_blocks_that_a_crop_does_not_need_are_not_read(kind: str) -> None:
    file = CountingFile(data(kind))
    region = Region(Rectangle(10, 20, 300, 200))
    crop = decoder().decode(FileSource(file), region=region)
    assert (crop.pixels == whole(kind).pixels[20:220, 10:310]).all()
    blocks = [c for c in parse_container(data(kind)).chunks if c.type in schema.BLOCK_CHUNKS]
    for number, chunk in enumerate(blocks):
        seen = file.seen[chunk.offset : chunk.offset + len(chunk.payload)]
        # Of the others, no more than where a chunk's type and length are looked for.
        assert seen.all() if number % 4 == 0 else seen.sum() < 64


@pytest.mark.parametrize("family", ["gained", "qvrf", "qmap", "slim", "hyperprior"])
def test_damage_matters_where_it_is_needed(family: str) -> None:
    """What is known of a block may follow from its neighbour, too, but not from the one behind that."""
    strip = np.ascontiguousarray(np.tile(pixels()[:60], (1, 2, 1))[:, :2100])
    content = Encoder(family, FLOAT32).encode(Picture.from_array(strip), 30_000)
    middles = [c.offset + len(c.payload) // 2 for c in parse_container(content).latent_chunks()]
    region = Region(Rectangle(0, 0, 400, 60))
    crop = decoder().decode(spoiled(content, middles[2]), region=region)
    assert (crop.pixels == decoder().decode(content).pixels[:, :400]).all()
    with pytest.raises(CorruptError, match="checksum"):
        decoder().decode(spoiled(content, middles[0]), region=region)
    with pytest.raises(CorruptError, match="checksum"):
        decoder().decode(spoiled(content, middles[2]))


def test_blocks_of_another_file_are_noticed() -> None:
    """Also where they are not read."""
    content = bytearray(data("slim"))
    last = parse_container(data("slim")).latent_chunks()[-1]
    seal = last.offset + len(last.payload)
    content[seal] ^= 1
    with pytest.raises(CorruptError, match="written together"):
        decoder().decode(FileSource(io.BytesIO(content)), region=Region(Rectangle(0, 0, 9, 9)))


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_a_file_that_ends_early_is_noticed(cut: int) -> None:
    with pytest.raises(CorruptError, match="truncated"):
        decoder().decode(
            FileSource(io.BytesIO(data("qvrf")[:-cut])), region=Region(Rectangle(0, 0, 9, 9))
        )
