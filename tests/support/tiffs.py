"""TIFF files written entry by entry: variants that Pillow reads and cannot write."""

from __future__ import annotations

import struct
from collections.abc import Sequence

Tag = tuple[int, int, Sequence[int]]  # number, type (3 short, 4 long, 5 rational, 7 bytes, 8 signed short), values
_KINDS = {1: "B", 3: "H", 4: "I", 6: "b", 7: "B", 8: "h", 16: "Q"}


def tiff(*pages: tuple[list[Tag], list[bytes]], order: str = "<") -> bytes:
    """A classic TIFF. Each page is its tags and its strips (or tiles, if a tag 322 is there); offsets are filled in."""
    out = bytearray({"<": b"II*\0", ">": b"MM\0*"}[order] + bytes(4))
    link = 4
    for tags, strips in pages:
        offsets = []
        for strip in strips:
            offsets.append(len(out))
            out += strip + bytes(len(strip) & 1)
        is_tiled = any(tag[0] == 322 for tag in tags)
        places: list[Tag] = [(324 if is_tiled else 273, 4, offsets), (325 if is_tiled else 279, 4, [len(s) for s in strips])]
        entries = [*tags, *places]
        struct.pack_into(f"{order}I", out, link, len(out))
        link = len(out) + 2 + 12 * len(entries)
        out += _directory(sorted(entries), order, len(out))
    return bytes(out)


def _directory(entries: list[Tag], order: str, at: int) -> bytes:
    table, values = struct.pack(f"{order}H", len(entries)), b""
    start = at + 2 + 12 * len(entries) + 4
    for tag, kind, numbers in entries:
        raw = struct.pack(f"{order}{len(numbers)}{_KINDS.get(kind, 'I')}", *numbers)
        count = len(numbers) // 2 if kind == 5 else len(numbers)
        place = raw.ljust(4, b"\0") if len(raw) <= 4 else struct.pack(f"{order}I", start + len(values))
        if len(raw) > 4:
            values += raw + bytes(len(raw) & 1)
        table += struct.pack(f"{order}HHI", tag, kind, count) + place
    return table + bytes(4) + values


def picture_tags(width: int, height: int, bits: Sequence[int], photometric: int, *more: Tag) -> list[Tag]:
    """The tags of a page of one uncompressed strip; `more` replaces or adds."""
    replaced = {tag[0] for tag in more}
    plain: list[Tag] = [
        (256, 3, [width]),
        (257, 3, [height]),
        (258, 3, list(bits)),
        (259, 3, [1]),
        (262, 3, [photometric]),
        (277, 3, [len(bits)]),
        (278, 3, [height]),
    ]
    return [tag for tag in plain if tag[0] not in replaced] + list(more)
