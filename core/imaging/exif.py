"""The few facts in EXIF and XMP that change a picture: its orientation and its colour space.

Read by hand: whatever else stands there, however large or broken, is neither parsed nor able to fail the picture.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Final

_MOST_ENTRIES: Final = 1000  # of a directory; cameras write fewer than a hundred
_ORIENTATION: Final = 0x0112  # EXIF 2.32, 4.6.4
_EXIF_IFD: Final = 0x8769
_INTEROP_IFD: Final = 0xA005
_COLOUR_SPACE: Final = 0xA001  # 1 sRGB, 65535 uncalibrated; 2 is what some cameras write for Adobe RGB
_INTEROP_INDEX: Final = 0x0001  # "R98" sRGB, "R03" Adobe RGB: DCF 2.0, 3.3.2
_XMP_ORIENTATION: Final = re.compile(rb"tiff:Orientation(?:\s*=\s*[\"']|>)\s*([1-8])\s*[\"'<]")
_LOOK: Final = 65_536  # bytes of an XMP packet that are searched


@dataclass(frozen=True, slots=True)
class ExifFacts:
    """What EXIF says about the pixels."""

    orientation: int = 1  # 1 to 8
    adobe_rgb: bool = False  # the values are Adobe RGB (1998), as DCF's option files are


def read_exif(exif: bytes, xmp: bytes = b"") -> ExifFacts:
    """Facts of an EXIF block (with or without its "Exif" prefix) and, where it has no orientation, of an XMP packet.

    Damaged metadata count as none: the pixels are good.
    """
    body = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(body[:2], "")
    first: dict[int, bytes] = {}
    adobe = False
    if order and len(body) >= 8:
        first = _directory(body, order, _number(body[4:8], order))
        inner = _directory(body, order, _number(first.get(_EXIF_IFD, b"")[:4], order))
        interop = _directory(body, order, _number(inner.get(_INTEROP_IFD, b"")[:4], order))
        space = _number(inner.get(_COLOUR_SPACE, b"")[:2], order)
        adobe = space == 2 or (space != 1 and interop.get(_INTEROP_INDEX, b"")[:3] == b"R03")
    value = _number(first.get(_ORIENTATION, b"")[:2], order or "<")
    if _ORIENTATION not in first and (match := _XMP_ORIENTATION.search(xmp, 0, _LOOK)):
        value = int(match[1])
    return ExifFacts(value if 1 <= value <= 8 else 1, adobe)


def _directory(body: bytes, order: str, at: int) -> dict[int, bytes]:
    """Tag → the four bytes of its value or offset (TIFF 6.0, section 2). Empty where there is none."""
    if at < 8 or at + 2 > len(body):
        return {}
    count = min(_number(body[at : at + 2], order), _MOST_ENTRIES, (len(body) - at - 2) // 12)
    entries = struct.iter_unpack(f"{order}HHI4s", body[at + 2 : at + 2 + 12 * count])
    found: dict[int, bytes] = {}
    for tag, kind, _, value in entries:
        if tag != _ORIENTATION or kind in (3, 4, 1):
            found.setdefault(tag, value)
    return found


def _number(raw: bytes, order: str) -> int:
    return int.from_bytes(raw, "little" if order == "<" else "big")
