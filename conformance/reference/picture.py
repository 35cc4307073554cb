"""From a file to a picture."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

from conformance.reference.container import File, parse, require
from conformance.reference.entropy import Reals, Stream
from conformance.reference.hierarchy import decode_progressive
from conformance.reference.hyperprior import decode_hyperprior
from conformance.reference.networks import WEIGHTS, Weights, find_weights
from conformance.reference.samples import Bytes, put_cells, read_metadata, stored_samples
from conformance.reference.slim import decode_slim

# What a method gives: samples (3, H, W) before rounding, and the streams that were read.
Decode = Callable[[File, Weights], tuple[Reals, list[Stream]]]


@dataclass
class Picture:
    """A decoded picture: (H, W) or (H, W, C) uint8, or bool. ``symbols``: SHA-256, or None without a model."""

    array: Bytes
    metadata: dict[str, bytes]
    symbols: str | None


def decode(data: bytes, partial: bool = False, weights: Path = WEIGHTS) -> Picture:
    """Decode a file; with ``partial`` one that may end early. Raises RefusedError.

    ``weights``: the folder of weights files.
    """
    file = parse(data, partial)
    metadata, symbols = read_metadata(file), None
    if file.method:
        colours, symbols = decode_model(file, find_weights(file.weights_id, weights))
    else:
        colours = stored_samples(file, 7, file.channels)
        require(file.mode != 2 or np.isin(colours, (0, 255)).all(), "bilevel with greys")
    if 6 in file.chunks:
        colours = np.concatenate((colours, stored_samples(file, 6, 1)), axis=2)
    elif file.mode == 2:
        colours = colours == 255
    return Picture(colours[..., 0] if colours.shape[2] == 1 else colours, metadata, symbols)


def decode_model(file: File, w: Weights) -> tuple[Bytes, str]:
    """Colours (H, W, 1 or 3) of a file that a model coded, and the SHA-256 of its symbols."""
    families = ("gained", "qvrf", "qmap", "slim", "qarv", "hyperprior")
    require(w.description["family"] == families[file.method - 1], "weights of another method")
    methods: dict[int, Decode] = {4: decode_slim, 5: decode_progressive}
    samples, streams = methods.get(file.method, decode_hyperprior)(file, w)
    pixels = np.rint(samples).clip(0, 255).astype(np.uint8)
    pixels = pixels[:, : file.height, : file.width].transpose(1, 2, 0).copy()
    if 8 in file.chunks:
        put_cells(file, pixels)
    if file.mode == 0:
        pixels = ((pixels.sum(2, keepdims=True, dtype=np.int64) + 1) // 3).astype(np.uint8)
    symbols = b"".join(part for stream in streams for part in stream.symbols)
    return pixels, hashlib.sha256(symbols).hexdigest()


def write_png(picture: Picture, path: str) -> None:
    """Write a picture with its metadata."""
    texts = PngImagePlugin.PngInfo()
    if "xmp" in picture.metadata:
        texts.add_itxt("XML:com.adobe.xmp", picture.metadata["xmp"].decode())
    names = {"icc": "icc_profile", "exif": "exif"}
    options = {names[k]: v for k, v in picture.metadata.items() if k in names}
    Image.fromarray(picture.array).save(path, "PNG", pnginfo=texts, **options)
