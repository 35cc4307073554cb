"""Items of AVIF and HEIF files (ISO/IEC 23008-12): which there are, and what is said of them."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from vrcodec.picture.intake.boxes import read_boxes


def primary_item(pitm: bytes) -> int:
    """The number of the primary item. Raises struct.error or IndexError where the box is broken."""
    return int(struct.unpack_from(">H" if pitm[0] == 0 else ">I", pitm, 4)[0])


def property_indices(ipma: bytes) -> dict[int, list[int]]:
    """Item -> indices, from 1, of its properties. Raises struct.error or IndexError where the box is broken."""
    wide_id, wide_index = ipma[0] > 0, bool(ipma[3] & 1)
    # The highest bit of an index says whether a reader must know the property.
    index_form, mask = ("H", 0x7FFF) if wide_index else ("B", 0x7F)
    count, offset = struct.unpack_from(">I", ipma, 4)[0], 8
    found: dict[int, list[int]] = {}
    for _ in range(count):
        item = struct.unpack_from(">I" if wide_id else ">H", ipma, offset)[0]
        offset += 4 if wide_id else 2
        layout = f">{ipma[offset]}{index_form}"
        indices = struct.unpack_from(layout, ipma, offset + 1)
        found.setdefault(item, []).extend(index & mask for index in indices)
        offset += 1 + struct.calcsize(layout)
    return found


def item_types(iinf: bytes) -> dict[int, tuple[bytes, bool]]:
    """Item -> its type, and whether it is hidden; those of which there is a type."""
    found = {}
    entries = iinf[8 if iinf[:1] > b"\0" else 6 :]
    for box_type, body in read_boxes(entries):
        if box_type == b"infe" and body[:1] in (b"\2", b"\3"):
            form = ">H2x4s" if body[0] == 2 else ">I2x4s"
            item, item_type = struct.unpack_from(form, body, 4)
            found[item] = (item_type, bool(body[3] & 1))
    return found


def references(iref: bytes) -> Iterator[tuple[bytes, int, tuple[int, ...]]]:
    """Type, origin and targets of each reference between items."""
    form = "H" if iref[:1] == b"\0" else "I"
    for box_type, body in read_boxes(iref[4:]):
        origin, count = struct.unpack_from(f">{form}H", body)
        yield (
            box_type,
            origin,
            struct.unpack_from(f">{count}{form}", body, struct.calcsize(f">{form}H")),
        )
