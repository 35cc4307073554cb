"""FORMAT.md, section 6: methods 1, 2, 3 and 6, which have y and z."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from conformance.reference.container import File, inflate, require
from conformance.reference.entropy import Integers, Reals, Stream, Tables, open_streams
from conformance.reference.networks import (
    Weights,
    condition_net,
    convolution,
    deconvolution,
    depthwise,
    gdn_synthesis,
    interpolate,
    leaky,
    pointwise,
    shuffle,
    synthesis,
)


def hyper_synthesis(w: Weights, z: Reals) -> Reals:
    """z_hat to features, or to means and scales."""
    x = leaky(convolution(w, "hyper_synthesis_net.0", z))
    x = leaky(shuffle(pointwise(w, "hyper_synthesis_net.2", x), 2))
    x = leaky(convolution(w, "hyper_synthesis_net.5", x))
    x = leaky(shuffle(pointwise(w, "hyper_synthesis_net.7", x), 2))
    if "hyper_synthesis_net.10.weight" in w:
        x = leaky(convolution(w, "hyper_synthesis_net.10", x))
        x = pointwise(w, "hyper_synthesis_net.12", x)
    return x


def gdn_hyper_synthesis(w: Weights, z: Reals) -> Reals:
    """z_hat to scales, or to scales and means, of method 6."""
    slope = 0.01 if has_means(w) else 0.0
    x = z + w["hyper_synthesis_net.0.offset"][:, None, None]
    for number in (1, 3):
        x = deconvolution(w, f"hyper_synthesis_net.{number}", x)
        x = np.maximum(x, slope * x)
    return convolution(w, "hyper_synthesis_net.5", x)


def has_means(w: Weights) -> bool:
    """Of method 6, whether its hyperprior is a mean-scale one."""
    size = w.description["size"]
    return bool(size["prior"] == 2 * size["latent"])


def read_z(file: File, w: Weights, streams: Sequence[tuple[Stream, int]]) -> Reals:
    """z of all blocks, from the beginnings of their streams."""
    height, width = file.latent_size
    channels, tables = len(w["prior.sizes"]), w.tables("prior")
    z = np.zeros((channels, -(-height // 4), -(-width // 4)))
    for (stream, _), (rows, columns) in zip(streams, file.windows(), strict=True):
        above = tuple(slice(s.start // 4, -(-s.stop // 4)) for s in (rows, columns))
        part = z[:, above[0], above[1]]
        indices = np.repeat(np.arange(channels), part[0].size)
        part[:] = stream.read(indices, tables).reshape(part.shape)
    return z


def decode_hyperprior(file: File, w: Weights) -> tuple[Reals, list[Stream]]:
    """Methods 1, 2, 3 and 6."""
    streams, (height, width) = open_streams(file), file.latent_size
    rate: Reals | float = file.rate / 65535
    conditions, hyper_rate = None, rate
    if file.method == 3:
        rate = quality_levels(file)
        hyper_rate = mean_of_squares(rate) if rate.size > 1 else rate
        conditions = condition_net(w, 2 * rate[None] - 1)
    z = read_z(file, w, streams)
    hyper_gain = np.exp(interpolate(w["log_hyper_inverse_gain"], hyper_rate))
    network = gdn_hyper_synthesis if file.method == 6 else hyper_synthesis
    features = network(w, z * hyper_gain)[:, :height, :width]
    tables = w.tables("gaussian")
    y_hat = np.zeros((w.description["size"]["latent"], height, width))
    for (stream, crc), window in zip(streams, file.windows(), strict=True):
        here = (slice(None), *window)
        if file.method == 2:
            y_hat[here] = context_block(file, w, stream, tables, features[here])
        elif file.method == 6:
            y_hat[here] = regulated_block(file, w, stream, tables, features[here])
        else:
            mean, log2_scale = np.split(features[here], 2)
            y_hat[here] = stream.read_scaled(log2_scale, tables) + mean
        stream.finish(crc)
    if file.method in (2, 6):
        y_hat *= np.exp(interpolate(w["log_restoration"], rate))
    else:
        y_hat *= np.exp(interpolate(w["log_inverse_gain"], rate))
    if file.method == 6:
        return gdn_synthesis(w, y_hat), [stream for stream, _ in streams]
    samples = synthesis(w, w.description["size"]["blocks"], y_hat, conditions)
    return samples, [stream for stream, _ in streams]


def log2_reciprocal_step(file: File, w: Weights) -> float:
    """log2 of a: of methods 2 and 6, the steps in a unit of y."""
    payload = file.single(2)
    if payload is not None:
        require(len(payload) == 2, "the bin size is no number")
        code = int.from_bytes(payload, "little", signed=True)
        require(abs(code) <= 12288, "a bin size out of range")
        return -code / 2048
    rises = np.log1p(np.exp(w["regulator.rises"]))
    knots = w["regulator.first"] + np.concatenate(([0], np.cumsum(rises)))
    return float(interpolate(knots[:, None], file.rate / 65535).item())


def regulated_block(
    file: File, w: Weights, stream: Stream, tables: Tables, features: Reals
) -> Reals:
    """y_hat of a block of method 6, before the restoration."""
    log2_a, channels = log2_reciprocal_step(file, w), w.description["size"]["latent"]
    log2_scale = np.log2(np.maximum(features[:channels], 2.0**-8))
    mean = features[channels:] if has_means(w) else 0.0
    return stream.read_scaled(log2_scale + log2_a, tables) * 2.0**-log2_a + mean


def context_block(file: File, w: Weights, stream: Stream, tables: Tables, features: Reals) -> Reals:
    """y_hat of a block of method 2, before the restoration."""
    rate, log2_a = file.rate / 65535, log2_reciprocal_step(file, w)
    height, width = features.shape[1:]
    white = np.add.outer(np.arange(height), np.arange(width)) % 2 == 1
    decoded = np.zeros((0, height, width))
    for number, channels in enumerate(w.description["size"]["groups"]):
        name = f"context.groups.{number}"
        base = pointwise(w, f"{name}.hyper", features) + interpolate(w[f"{name}.rate"], rate)
        if number:
            before = depthwise(w, f"{name}.around_before", decoded)
            base = base + pointwise(w, f"{name}.before", before)
        values = np.zeros((channels, height, width))
        for squares in (~white, white):
            if not squares.any():
                continue
            x = base
            if squares is white:
                black = depthwise(w, f"{name}.around_black", values)
                x = x + pointwise(w, f"{name}.black", black)
            hidden = leaky(pointwise(w, f"{name}.hidden", leaky(x)))
            mean, log2_scale = np.split(pointwise(w, f"{name}.out", hidden)[:, squares], 2)
            symbols = stream.read_scaled(log2_scale + log2_a, tables)
            values[:, squares] = symbols * 2.0**-log2_a + mean
        decoded = np.concatenate((decoded, values))
    return decoded


def quality_levels(file: File) -> Reals:
    """Levels (h, w) at the samples of y, or (1, 1) of all."""
    coarse, fine = file.single(3), file.single(9)
    require(coarse is None or fine is None, "two quality maps")
    if coarse is not None:
        cells, repeats = quality_cells(file, coarse, 32), 2
    elif fine is not None:
        divisor = int.from_bytes(fine[:1], "little")
        cells, repeats = quality_cells(file, fine[1:], 16) * divisor, 1
        require(divisor and cells.max() < 256, "a level of a quality map out of range")
    else:
        return np.array([[file.rate / 65535]])
    if (cells == cells[0, 0]).all() or file.rate in (0, 65535):
        return np.array([[file.rate / 65535]])

    def levels(offset: int) -> Integers:
        shifted: Integers = (256 * cells + offset).clip(0, 65280)
        return shifted

    low, high = -65280, 65280
    while low < high:
        middle = (low + high + 1) // 2
        fits = 65535 * int(levels(middle).sum()) <= file.rate * 65280 * cells.size
        low, high = (middle, high) if fits else (low, middle - 1)
    height, width = file.latent_size
    at_y = levels(low).repeat(repeats, axis=0).repeat(repeats, axis=1)[:height, :width]
    return at_y / 65280


def quality_cells(file: File, content: bytes, side: int) -> Integers:
    """The values of the cells of a quality map, squares of ``side`` pixels."""
    rows, columns = -(-file.height // side), -(-file.width // side)
    values = inflate(content, rows * columns)
    require(len(values) == rows * columns, "a quality map of another size")
    differences = np.frombuffer(values, np.uint8).reshape(rows, columns).astype(np.int64)
    cells: Integers = differences.cumsum(0).cumsum(1) % 256
    return cells


def mean_of_squares(levels: Reals) -> Reals:
    """Means over the samples of y above each sample of z."""
    height, width = levels.shape
    return np.array(
        [
            [levels[i : i + 4, j : j + 4].mean() for j in range(0, width, 4)]
            for i in range(0, height, 4)
        ]
    )
