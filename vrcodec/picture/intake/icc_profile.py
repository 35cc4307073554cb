"""Building ICC profiles (ICC.1:2022) from primaries, white point and tone curve.

The smallest that every colour engine takes: version 4, matrix and parametric curves for RGB, a curve for grey.
"""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt

# Parameters of a parametricCurveType: g alone for x^g; g a b c d for (a x + b)^g from d on, c x below.
Curve = tuple[float, ...]
# x and y of white, red, green, blue, in the order of PNG's cHRM.
Chromaticities = tuple[float, ...]
Colours = tuple[Curve, Chromaticities]

SRGB_CURVE: Curve = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
BT709_CURVE: Curve = (1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081)

D65 = (0.3127, 0.329)
SRGB: Chromaticities = (*D65, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)

_D50 = (0.9642, 1.0, 0.8249)
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
_HEADER_BYTES, _ENTRY_BYTES = 128, 12

Matrix = npt.NDArray[np.float64]


def grey_profile(curve: Curve) -> bytes:
    """A profile of grey pictures."""
    return _build_profile(b"GRAY", {b"wtpt": _xyz_tag(_D50), b"kTRC": _parametric_curve(curve)})


def rgb_profile(curve: Curve, chromaticities: Chromaticities) -> bytes:
    """A profile of RGB pictures. Raises ValueError where the primaries span no colours."""
    white, *primaries = (_xy_to_xyz(*chromaticities[i : i + 2]) for i in range(0, 8, 2))
    columns = np.array(primaries).T
    try:
        matrix = columns * np.linalg.solve(columns, white)
        adaptation = _bradford_adaptation(white)
    except np.linalg.LinAlgError:
        raise ValueError("the primaries lie on one line") from None
    red, green, blue = (adaptation @ matrix).T
    tags = {b"wtpt": _xyz_tag(_D50), b"chad": _fixed_point_tag(b"sf32", adaptation.ravel())}
    tags |= {b"rXYZ": _xyz_tag(red), b"gXYZ": _xyz_tag(green), b"bXYZ": _xyz_tag(blue)}
    return _build_profile(
        b"RGB ", tags | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), _parametric_curve(curve))
    )


def _xy_to_xyz(x: float, y: float) -> Matrix:
    if y <= 0:
        raise ValueError(f"{x:g}, {y:g} is no chromaticity")
    return np.array([x / y, 1, (1 - x - y) / y])


def _bradford_adaptation(white: Matrix) -> Matrix:
    """The chromatic adaptation from ``white`` to the D50 of profiles, by Bradford's cone responses."""
    scale = (_BRADFORD @ np.array(_D50)) / (_BRADFORD @ white)
    adaptation: Matrix = np.linalg.inv(_BRADFORD) @ np.diag(scale) @ _BRADFORD
    return adaptation


def _build_profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    texts = {
        b"desc": _mluc_text("Colours as the picture file gave them"),
        b"cprt": _mluc_text("CC0"),
    }
    tags = texts | tags
    data_offset = _HEADER_BYTES + 4 + _ENTRY_BYTES * len(tags)
    table, data = struct.pack(">I", len(tags)), b""
    for signature, content in tags.items():
        table += struct.pack(">4sII", signature, data_offset + len(data), len(content))
        data += content + bytes(-len(content) % 4)
    return _build_header(space, data_offset + len(data)) + table + data


def _build_header(space: bytes, size: int) -> bytes:
    """The header of a display profile, without a date: the same file gives the same profile."""
    start = struct.pack(">I4sI4s4s4s", size, b"", 0x04300000, b"mntr", space, b"XYZ ")
    created = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)
    rest = struct.pack(">4s28x12s", b"acsp", _xyz_tag(_D50)[8:])
    return (start + created + rest).ljust(_HEADER_BYTES, b"\0")


def _mluc_text(text: str) -> bytes:
    content = text.encode("utf-16-be")
    return struct.pack(">4s4xII4sII", b"mluc", 1, 12, b"enUS", len(content), 28) + content


def _xyz_tag(values: npt.ArrayLike) -> bytes:
    return _fixed_point_tag(b"XYZ ", values)


def _parametric_curve(curve: Curve) -> bytes:
    function = 0 if len(curve) == 1 else 3
    return struct.pack(">4s4xHxx", b"para", function) + _s15_fixed_16(curve)


def _fixed_point_tag(signature: bytes, values: npt.ArrayLike) -> bytes:
    return struct.pack(">4s4x", signature) + _s15_fixed_16(values)


def _s15_fixed_16(values: npt.ArrayLike) -> bytes:
    """s15Fixed16Numbers. Raises ValueError for what does not fit."""
    scaled = np.rint(np.asarray(values, dtype=np.float64) * 65536)
    if not (np.abs(scaled) < 1 << 31).all():
        raise ValueError("a number is too large for a profile")
    return scaled.astype(">i4").tobytes()
