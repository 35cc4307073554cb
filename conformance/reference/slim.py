"""FORMAT.md, section 6: method 4, whose networks have several widths."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from conformance.reference.container import File, require
from conformance.reference.entropy import Integers, Reals, Stream, open_streams
from conformance.reference.networks import Weights, interpolate, neighbourhoods, synthesis


def decode_slim(file: File, w: Weights) -> tuple[Reals, list[Stream]]:
    """Method 4."""
    width, level = slim_width(file, w)
    w.check_group(f"widths.{width}")
    own = f"widths.{width}"
    gain, inverse_gain = (
        np.exp(interpolate(w[f"{own}.{name}"], level / 65535))
        for name in ("log_gain", "log_inverse_gain")
    )
    logits, scales = w[f"{own}.prior.density.logits"], w[f"{own}.prior.density.log_scales"]
    highest = (logits - scales).argmax(1)[:, None]
    modes = np.take_along_axis(w[f"{own}.prior.density.means"], highest, 1)[:, :, None]
    streams = open_streams(file)
    y = np.zeros((len(gain), *file.latent_size), np.int64)
    for (stream, crc), (rows, columns) in zip(streams, file.windows(), strict=True):
        slim_block(w, f"{own}.prior", (30 * level + 65535) // 131070, stream, y[:, rows, columns])
        stream.finish(crc)
    tensors = slim_synthesis(w, width)
    y_hat = (y + modes * gain) * inverse_gain
    samples = synthesis(tensors, w.description["size"]["blocks"], y_hat)
    return samples, [stream for stream, _ in streams]


def slim_width(file: File, w: Weights) -> tuple[int, int]:
    """The width of a file, and its level in 1/65535."""
    widths = w.description["size"]["widths"]
    payload = file.single(4)
    if payload is not None:
        require(len(payload) == 2, "the width is no number")
        width = int.from_bytes(payload, "little")
        require(width in widths, "no such width")
        return width, file.rate
    w.check_group("schedule")
    schedule = w["schedule"].tolist()
    k = max(k for k, (first, _, _) in enumerate(schedule) if first <= file.rate)
    first, low, high = schedule[k]
    end = schedule[k + 1][0] if k + 1 < len(schedule) else 65535
    return widths[k], low + (high - low) * (file.rate - first) // max(1, end - first)


def slim_block(w: Weights, prior: str, s: int, stream: Stream, c: Integers) -> None:
    """Fill ``c`` (M, h, w), the symbols of a block, pass by pass."""
    tables = w.tables(prior)
    choice, bounds, weights = (w[f"{prior}.{n}"] for n in ("choice", "bounds", "weights"))
    count, (height, width) = len(c), c.shape[1:]
    ends = [0, *(-(-count * share // 16) for share in (1, 3, 7)), count]
    groups = [slice(*pair) for pair in pairwise(ends)]
    black = np.add.outer(np.arange(height), np.arange(width)) % 2 == 0
    everywhere = np.ones_like(black)

    def magnitude(group: int) -> Integers:
        b: Integers = np.minimum(np.abs(c[groups[group]]), 8).sum(0, keepdims=True)
        return b

    def beside(x: Integers) -> Integers:
        return sum((n for i, j, n in neighbourhoods(x) if (i + j) % 2), np.zeros_like(x))

    def around(x: Integers) -> Integers:
        return sum((n for _, _, n in neighbourhoods(x)), -x)

    for p, squares in enumerate((black, ~black, everywhere, everywhere, everywhere)):
        channels = groups[max(0, p - 1)]
        activity, prediction = np.zeros_like(c[:1]), np.zeros_like(c[channels])
        if p == 1:
            activity = 4 * beside(magnitude(0))
            prediction = (weights[:, None, None] * beside(c[channels]) + 512) // 1024
        elif p > 1:
            activity = 8 * magnitude(p - 2) + around(magnitude(p - 2))
            if p > 2:
                activity = activity + 2 * magnitude(p - 3)
        k = (bounds[s, p][:, None] <= activity[0, squares]).sum(0)
        indices = choice[s][k, channels].T
        symbols = stream.read(indices.ravel(), tables).reshape(indices.shape)
        c[channels, squares] = symbols + prediction[:, squares]


def synthesis_shapes(c: int, m: int, blocks: int) -> dict[str, tuple[int, int, int]]:
    """Rows, columns and what lies at each of them, of the parameters of the synthesis."""
    shapes = {"0.weight": (m, m, 1), "0.bias": (m, 1, 1)}
    shapes |= {"2.weight": (4 * c, m, 1), "2.bias": (4 * c, 1, 1)}
    shapes |= {f"{4 + blocks}.weight": (192, c, 1), f"{4 + blocks}.bias": (192, 1, 1)}
    for number, n in [(1, m), *((4 + k, c) for k in range(blocks))]:
        for layer in ("spread", "mix", "merge"):
            shapes |= {f"{number}.{layer}.weight": (n, n, 1), f"{number}.{layer}.bias": (n, 1, 1)}
        shapes |= {f"{number}.depthwise.weight": (n, 1, 9), f"{number}.depthwise.bias": (n, 1, 1)}
        shapes |= {f"{number}.gate.weight": (n, n, 2), f"{number}.gate.bias": (n, 1, 2)}
    return shapes


def slim_synthesis(w: Weights, width: int) -> dict[str, Reals]:
    """The tensors of the synthesis at a width, joined from parts, with its scales and shifts."""
    size = w.description["size"]
    widths = [v for v in size["widths"] if v <= width]
    for v in widths:
        w.check_group(f"synthesis_net.{v}")
    shapes = [
        synthesis_shapes(v, size["latent"] * v // size["channels"], size["blocks"]) for v in widths
    ]
    tensors = {}
    for name in shapes[0]:
        whole = join_parts(w, name, {v: s[name] for v, s in zip(widths, shapes, strict=True)})
        if ".gate." in name:
            whole = np.concatenate(np.moveaxis(whole, 2, 0))[..., None]
        if name.endswith(".bias"):
            whole = whole[:, 0, 0]
        elif ".depthwise." in name:
            whole = whole.reshape(-1, 1, 3, 3)
        else:
            whole = whole[:, :, 0]
        layer, _, kind = name.rpartition(".")
        if layer.endswith((".mix", ".merge")):
            switches, key = f"widths.{width}.switches.synthesis_net", layer.replace(".", "_")
            whole = (whole.T * w[f"{switches}.scales.synthesis_net_{key}"]).T
            if kind == "bias":
                whole = whole + w[f"{switches}.shifts.synthesis_net_{key}"]
        tensors[f"synthesis_net.{name}"] = whole
    return tensors


def join_parts(w: Weights, name: str, shapes: Mapping[int, tuple[int, int, int]]) -> Reals:
    """A parameter at the last of the widths in ``shapes``, from what each adds."""
    whole = np.zeros(list(shapes.values())[-1])
    rows = columns = 0
    for width, shape in shapes.items():
        stored = f"synthesis_net.{width}.{name}"
        part = w[stored] if stored in w else np.zeros(0)
        below, beside = whole[rows : shape[0], : shape[1]], whole[:rows, columns : shape[1]]
        below[:] = part[: below.size].reshape(below.shape)
        beside[:] = part[below.size :].reshape(beside.shape)
        rows, columns = shape[:2]
    return whole
