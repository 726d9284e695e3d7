"""HEIF and AVIF (ISO/IEC 23008-12): boxes and extents are checked, EXIF is hidden, and the decoder tells the rest.

Their own transformations (irot, imir) turn the picture; an EXIF orientation beside them has no effect (section 6.5.10, note).
"""

from __future__ import annotations

import io
import re
from importlib import import_module
from typing import Final

from core.errors import ItemError, ItemErrorCode
from core.imaging.contents import Contents
from core.imaging.copies import has_hole, is_text_copy
from core.imaging.exif import read_exif
from core.imaging.faults import DECODER_ERRORS, damaged, item_error, truncated
from core.imaging.profiles import MOST_BYTES, coded_profile
from core.notes import ItemNote

_ITEM: Final = re.compile(rb"infe(?:\x02...(..)..|\x03...(....)..)(av01|hvc1)", re.DOTALL)
_HUGE: Final = 2**31  # pixels
_NCLX: Final = re.compile(rb"colrnclx(..)(..)", re.DOTALL)


def read(data: bytes) -> Contents:
    """Checks a HEIF (HEIC) picture and opens it with pillow-heif, an optional dependency.

    Raises:
        ItemError: truncated, damaged; unsupported_format where pillow-heif is not installed.
    """
    return _read(data, "HEIF", "pillow_heif", "HeifImageFile")


def read_avif(data: bytes) -> Contents:
    """Checks an AVIF picture and opens it with Pillow's plugin.

    Raises:
        ItemError: truncated, damaged.
    """
    return _read(data, "AVIF", "PIL.AvifImagePlugin", "AvifImageFile")


def _read(data: bytes, name: str, module: str, plugin: str) -> Contents:
    try:
        opener = getattr(import_module(module), plugin)
    except ImportError as error:
        raise ItemError(
            ItemErrorCode.UNSUPPORTED_FORMAT,
            f"{name} images need {module}, which is not installed here; install dermq[heic] or convert to JPEG",
        ) from error
    at, end = _meta(data, name)
    meta = data[at:end]
    hidden = data[:at] + meta.replace(b"Exif", b"exif").replace(b"application/rdf+xml", b"application/rdf xml") + data[end:]
    try:
        image = opener(io.BytesIO(hidden))
    except DECODER_ERRORS as error:
        _check_extents(meta, data, name, _HUGE)  # bytes that are missing are the better reason
        raise item_error(name, error, at_end=False, doing="reading its header") from error
    _check_extents(meta, data, name, image.size[0] * image.size[1])
    orientation = read_exif(image.info.get("exif") or b"").orientation if name == "AVIF" else 1
    contents = Contents(hidden, image.size, orientation, _profile(image.info.get("icc_profile"), meta))
    contents.opened = image
    if getattr(image, "n_frames", 1) > 1:
        contents.notes.add(ItemNote.EXTRA_PAGES)
    return contents


def _profile(icc: bytes | None, meta: bytes) -> bytes | None:
    if icc:
        return icc[: MOST_BYTES + 1]
    match = _NCLX.search(meta)
    return coded_profile(int.from_bytes(match[1], "big"), int.from_bytes(match[2], "big")) if match else None


def _meta(data: bytes, name: str) -> tuple[int, int]:
    """Where the meta box begins and ends, once all boxes have proven to lie within the file."""
    at, found = 0, (0, 0)
    while at + 8 <= len(data):
        length, kind, head = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8], 8
        if length == 1:
            length, head = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        elif length == 0:
            length = len(data) - at
        if length < head:
            raise damaged(name, "a box has no length")
        if at + length > len(data):
            raise truncated(name, f"its box {kind.decode('latin-1')!r} is not all there")
        if kind == b"meta" and not found[1]:
            found = at, at + length
        at += length
    if not found[1]:
        raise truncated(name, "it has no meta box")
    return found


def _check_extents(meta: bytes, data: bytes, name: str, pixels: int) -> None:
    """The item location box (section 8.11.3 of ISO/IEC 14496-12) points at bytes that are there, and at no hole."""
    at, coded_items = meta.find(b"iloc"), _pixel_items(meta)
    if at < 0:
        return
    version, at = meta[at + 4], at + 8
    offset_bytes, length_bytes = meta[at] >> 4, meta[at] & 15
    base_bytes, index_bytes = meta[at + 1] >> 4, (meta[at + 1] & 15) if version else 0
    wide = 4 if version == 2 else 2
    count, at = int.from_bytes(meta[at + 2 : at + 2 + wide], "big"), at + 2 + wide
    looked = 0
    for _ in range(count):
        coded = meta[at : at + wide].rjust(4, b"\0") in coded_items
        at += wide
        method = int.from_bytes(meta[at : at + 2], "big") & 15 if version else 0
        at += (2 if version else 0) + 2
        base, at = int.from_bytes(meta[at : at + base_bytes], "big"), at + base_bytes
        extents, at = int.from_bytes(meta[at : at + 2], "big"), at + 2
        for _ in range(extents if offset_bytes + length_bytes else 0):
            at += index_bytes
            offset = base + int.from_bytes(meta[at : at + offset_bytes], "big")
            length, at = (
                int.from_bytes(meta[at + offset_bytes : at + offset_bytes + length_bytes], "big"),
                at + offset_bytes + length_bytes,
            )
            if at > len(meta):
                raise damaged(name, "its table of items is cut")
            if method == 0 and offset + length > len(data):
                raise truncated(name, f"{offset + length - len(data):,} bytes of its pixels are missing")
            stream = data[offset : offset + length] if coded and method == 0 else b""
            looked += len(stream)
            if looked > 2 * len(data):
                raise damaged(name, "its pixels overlap")
            if stream and (has_hole(stream, pixels) or is_text_copy(stream)):
                raise damaged(name, "there are zeros where its pixels should be, or it was copied as text")
        if at > len(meta):
            raise damaged(name, "its table of items is cut")


def _pixel_items(meta: bytes) -> set[bytes]:
    """The ids, four bytes each, of items that hold coded pixels (section 8.11.6)."""
    return {(match[1] or match[2]).rjust(4, b"\0") for match in _ITEM.finditer(meta)}
