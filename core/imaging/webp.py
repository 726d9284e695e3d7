"""WebP (RFC 9649): lengths are checked; EXIF, XMP, the profile and unknown chunks are taken out before the decoder runs."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from core.imaging.contents import Contents
from core.imaging.copies import has_hole, is_text_copy
from core.imaging.exif import read_exif
from core.imaging.faults import damaged, truncated
from core.imaging.profiles import MOST_BYTES
from core.notes import ItemNote

_PIXELS: Final = frozenset({b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF"})
_FRAMES: Final = frozenset({b"VP8 ", b"VP8L", b"ANMF"})
_ANIMATION_AND_ALPHA: Final = 0x12  # flags of VP8X that are about pixels


def read(data: bytes) -> Contents:
    """Checks a WebP and takes from it what its pixels need.

    Raises:
        ItemError: truncated, damaged.
    """
    kept, others, extended = list[tuple[bytes, bytes]](), dict[bytes, bytes](), b""
    for kind, body in _chunks(data):
        if kind == b"VP8X" and not extended and len(body) >= 10:
            extended = bytes([body[0] & _ANIMATION_AND_ALPHA]) + body[1:10]
        elif kind in _PIXELS:
            kept.append((kind, body))
        else:
            others.setdefault(kind, body)
    frames = [(kind, body) for kind, body in kept if kind in _FRAMES]
    if not frames:
        raise truncated("WEBP", "it has no pixels")
    size = _size(extended, *frames[0])
    _check_frame(*frames[0], size[0] * size[1])
    body = b"".join(_chunk(kind, body) for kind, body in ([(b"VP8X", extended)] if extended else []) + kept)
    contents = Contents(b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body, size)
    contents.orientation = read_exif(others.get(b"EXIF", b""), others.get(b"XMP ", b"")).orientation
    contents.profile = others[b"ICCP"][: MOST_BYTES + 1] if b"ICCP" in others else None
    if len(frames) > 1:
        contents.notes.add(ItemNote.EXTRA_PAGES)
    return contents


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    end = 8 + int.from_bytes(data[4:8], "little")
    if end > len(data) + 1:  # an odd file may lack its last padding byte
        raise truncated("WEBP", f"it has {len(data):,} of {end:,} bytes")
    at = 12
    while at + 8 <= min(end, len(data)):
        kind, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if at + 8 + length > min(end, len(data)):
            if kind in _PIXELS or kind == b"VP8X":
                raise truncated("WEBP", f"a chunk of {length:,} bytes is not all there")
            return
        yield kind, data[at + 8 : at + 8 + length]
        at += 8 + length + (length & 1)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + bytes(len(body) & 1)


def _check_frame(kind: bytes, body: bytes, pixels: int) -> None:
    """The first partition of a lossy frame lies within it (RFC 6386, 9.1), and nothing tells of a bad copy."""
    if kind == b"VP8 " and (len(body) < 10 or body[3:6] != b"\x9d\x01\x2a"):
        raise damaged("WEBP", "its frame has no start code")
    if has_hole(body, pixels) or is_text_copy(body):
        raise damaged("WEBP", "there are zeros where its pixels should be, or it was copied as text")
    if kind == b"VP8 " and 10 + (int.from_bytes(body[:3], "little") >> 5) > len(body):
        raise truncated("WEBP", "its first partition is not all there")


def _size(extended: bytes, kind: bytes, body: bytes) -> tuple[int, int]:
    """Width and height of the canvas in pixels (RFC 9649, 2.5 to 2.7)."""
    if extended:
        return int.from_bytes(extended[4:7], "little") + 1, int.from_bytes(extended[7:10], "little") + 1
    if kind == b"VP8L" and len(body) >= 5:
        bits = int.from_bytes(body[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        return int.from_bytes(body[6:8], "little") & 0x3FFF, int.from_bytes(body[8:10], "little") & 0x3FFF
    raise damaged("WEBP", "an animation without a canvas")
