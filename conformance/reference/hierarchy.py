"""FORMAT.md, section 6: method 5, which comes in levels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from conformance.reference.container import Cursor, File, RefusedError, require
from conformance.reference.entropy import Integers, Reals, Stream, Tables, read_ties
from conformance.reference.networks import (
    Weights,
    condition_net,
    interpolate,
    modulate,
    pointwise,
    residual_block,
    shuffle,
    synthesis,
)


@dataclass
class Level:
    """A level of method 5: its ``name`` among the tensors, its scale, channels, and the phases it has."""

    name: str
    scale: int
    channels: int
    phases: tuple[int, ...] = (0, 1, 2)


def hierarchy(w: Weights) -> list[Level]:
    """The levels, coarse to fine."""
    first, *others = w.description["size"]["groups"]
    levels = [Level("0.0", 0, 64), Level("1.0", 1, 64)]
    levels += [Level(f"2.{phase}", 2, first, (phase,)) for phase in range(3)]
    return levels + [Level(f"2.{3 + k}", 2, channels) for k, channels in enumerate(others)]


def decode_progressive(file: File, w: Weights) -> tuple[Reals, list[Stream]]:
    """Method 5."""
    levels, tables = hierarchy(w), w.tables("gaussian")
    streams = open_levels(file, len(levels))
    y_hat = np.zeros((w.description["size"]["latent"], *file.latent_size))
    for (stream, checks), window in zip(streams, file.windows(), strict=True):
        here = (slice(None), *window)
        y_hat[here] = descend(file, w, levels, stream, checks, tables, y_hat[here].shape[1:])
    samples = synthesis(w, w.description["size"]["blocks"], y_hat)
    return samples, [stream for stream, _ in streams]


def open_levels(file: File, expected: int) -> list[tuple[Stream, list[tuple[int, int]]]]:
    """The stream of each block; of each level that is there, the bytes behind it and the check of symbols."""
    (payload,) = file.chunks[5]
    cursor, blocks = Cursor(payload), range(len(file.windows()))
    require(cursor.number(1) == expected, "not the levels of its weights")
    ties = [read_ties(cursor) for _ in blocks]
    require(sum(map(len, ties)) <= 1 << 20, "too many ties")
    levels: list[list[tuple[bytes, int]]] = []
    while len(levels) < expected:
        try:
            check_bytes = 4 if len(levels) == expected - 1 else 2
            heads = [(cursor.varint(), cursor.number(check_bytes)) for _ in blocks]
            levels.append([(cursor.take(length), check) for length, check in heads])
        except RefusedError:
            if file.complete or not levels:
                raise
            break
    require(not cursor.left or not file.complete, "bytes behind the last level")
    streams = []
    for block in blocks:
        contents = [level[block][0] for level in levels]
        later = [sum(map(len, contents[k + 1 :])) for k in range(len(levels))]
        stream = Stream(b"".join(contents)[::-1], ties[block])
        streams.append(
            (stream, list(zip(later, (level[block][1] for level in levels), strict=True)))
        )
    return streams


def descend(
    file: File,
    w: Weights,
    levels: Sequence[Level],
    stream: Stream,
    checks: Sequence[tuple[int, int]],
    tables: Tables,
    size: tuple[int, ...],
) -> Reals:
    """The input of the synthesis for a block of ``size`` (h, w) samples of y."""
    rate = file.rate / 65535
    conditions = condition_net(w, np.full((1, 1, 1), 2 * rate - 1))
    sizes = [tuple(-(-n // factor) for n in size) for factor in (4, 2, 1)]
    state = w["descent.start"][0] + np.zeros((1, *sizes[0]))
    groups: list[Reals] = []
    for number, level in enumerate(levels):
        name, (height, width) = f"descent.scales.{level.name}", sizes[level.scale]
        if level.name in ("1.0", "2.0"):
            up = pointwise(w, f"descent.ups.{level.scale - 1}.0", state)
            state = shuffle(up, 2)[:, :height, :width]
        for k in range(1 if level.scale == 2 else 2):
            state = residual_block(w, f"{name}.blocks.{k}", state)
        state = modulate(w, f"{name}.modulation", state, conditions)
        rows, columns = places(level, height, width)
        z, log2_scale = np.split(pointwise(w, f"{name}.head", state)[:, rows, columns], 2)
        log2_gain = interpolate(w[f"{name}.log2_gain"], rate)[:, :, 0]
        if number < len(checks):
            z = z + stream.read_scaled(log2_scale + log2_gain, tables) * 2.0**-log2_gain
            check_level(stream, number == len(levels) - 1, *checks[number])
        state[:, rows, columns] += pointwise(w, f"{name}.embed", z[:, :, None])[:, :, 0]
        if level.scale == 2:
            if 0 in level.phases:
                groups.append(np.zeros((level.channels, height, width)))
            groups[-1][:, rows, columns] = z
    y_hat = np.concatenate(groups) * np.exp(interpolate(w["log_restoration"], rate))
    return y_hat + pointwise(w, "out", state)


def check_level(stream: Stream, last: bool, bytes_left: int, check: int) -> None:
    """Compare the symbols so far, and how much of the stream is left."""
    if last:
        stream.finish(check)
    require(last or stream.crc & 0xFFFF == check, "a level does not match its check")
    require(4 * len(stream.words) == bytes_left, "a level is not of its length")


def places(level: Level, height: int, width: int) -> tuple[Integers, Integers]:
    """Rows and columns of the samples of a level, in their order."""
    rows, columns = np.indices((height, width)).reshape(2, -1)
    if len(level.phases) == 3:
        return rows, columns
    phase = np.where(rows % 2 == columns % 2, rows % 2, 2)
    here = phase == level.phases[0]
    return rows[here], columns[here]
