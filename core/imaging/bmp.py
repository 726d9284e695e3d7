"""BMP: headers and lengths are checked before Pillow decodes it. It has no checksum."""

from __future__ import annotations

import struct
from functools import partial
from typing import Final

from PIL import Image

from core.imaging.contents import Contents
from core.imaging.faults import damaged, truncated, unsupported
from core.imaging.profiles import MOST_BYTES, SRGB_PRIMARIES

_DEPTHS: Final = (1, 4, 8, 16, 24, 32)
_RGB, _RLE8, _RLE4, _BITFIELDS, _ALPHA_BITFIELDS = 0, 1, 2, 3, 6
_NAMES: Final = {4: "JPEG", 5: "PNG", 11: "CMYK", 12: "CMYK", 13: "CMYK"}


def read(data: bytes) -> Contents:
    """Checks a BMP.

    Raises:
        ItemError: truncated, damaged; unsupported_format for depths and compressions that are not decoded.
    """
    offset, header = int.from_bytes(data[10:14], "little"), int.from_bytes(data[14:18], "little")
    if len(data) < 14 + header:
        raise truncated("BMP", "its header is not all there")
    if header == 12:
        width, height, _, depth = struct.unpack("<HHHH", data[18:26])
        compression, colours = _RGB, 0
    else:
        width, height, _, depth, compression, _, _, _, colours = struct.unpack("<iiHHIIiiI", data[18:50])
    if width <= 0 or height in (0, -(2**31)):
        raise damaged("BMP", f"its header says {width} x {height} pixels")
    if compression not in (_RGB, _RLE8, _RLE4, _BITFIELDS, _ALPHA_BITFIELDS):
        raise unsupported(f"a BMP with {_NAMES.get(compression, f'unknown ({compression})')} compression")
    if depth not in _DEPTHS:
        raise unsupported(f"a BMP of {depth} bits per pixel")
    if (compression, depth) in ((_RLE8, 8), (_RLE4, 4)):
        if height < 0:
            raise damaged("BMP", "it is compressed, but stored top down")
    elif compression in (_RLE8, _RLE4) or (compression in (_BITFIELDS, _ALPHA_BITFIELDS) and depth not in (16, 32)):
        raise damaged("BMP", f"its compression {compression} is not for {depth} bits per pixel")
    elif offset + abs(height) * (-(-width * depth // 32) * 4) > len(data):
        raise truncated("BMP", "rows are missing")
    contents = Contents(data, (width, abs(height)))
    contents.profile = _profile(data, header)
    if depth <= 8:
        contents.finish = partial(_finish, colours=min(colours or 2**depth, 2**depth))
    return contents


def _profile(data: bytes, header: int) -> bytes | None:
    """Of a version 4 or 5 header: an embedded profile; empty where colours are calibrated otherwise."""
    if header < 108:
        return None
    kind = data[70:74]
    if kind == b"DEBM" and header >= 124:
        at, size = struct.unpack("<II", data[126:134])
        return data[14 + at : 14 + at + min(size, MOST_BYTES + 1)] if 14 + at + size <= len(data) else b""
    if kind == b"KNIL":
        return b""
    if kind != bytes(4):
        return None
    ends = [value / 2**30 for value in struct.unpack("<9I", data[74:110])]
    usual = all(abs(ends[3 * n] - x) + abs(ends[3 * n + 1] - y) < 0.01 for n, (x, y) in enumerate(SRGB_PRIMARIES[1:]))
    return None if usual or not any(ends) else b""


def _finish(image: Image.Image, colours: int) -> Image.Image:
    if image.mode == "P" and image.getextrema()[1] >= colours:  # type: ignore[operator]
        raise damaged("BMP", f"pixels point behind its palette of {colours} colours")
    return image
