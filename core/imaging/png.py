"""PNG (W3C PNG, third edition): every checksum and length is looked at; chunks that hold no pixels are left out.

Each chunk has a CRC, and the pixels' stream an Adler-32. Pillow checks neither for the pixels. So the stream is inflated here,
and handed to Pillow uncompressed where it is not huge. A PNG that only lacks its IEND chunk is whole: the Adler-32 proves its
rows.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from functools import partial
from typing import Final

import numpy as np
from PIL import Image

from core.imaging.contents import Contents
from core.imaging.exif import read_exif
from core.imaging.faults import damaged, truncated, unsupported
from core.imaging.profiles import MOST_BYTES, SRGB_PRIMARIES, coded_profile, matrix_profile
from core.notes import ItemNote

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # colour type → samples of a pixel
_DEPTHS: Final = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_ADAM7: Final = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_KEPT: Final = frozenset({b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"eXIf", b"tRNS", b"PLTE", b"acTL"})
_COLOUR: Final = frozenset({b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM"})
_UNCOMPRESSED: Final = 32 * 2**20  # bytes of rows up to which they are handed on inflated
_LOOK: Final = 65_536  # bytes of a text chunk that are looked at
_STORED: Final = 65_535  # bytes of a stored block (RFC 1951, 3.2.4)
_HEX_EXIF: Final = re.compile(rb"\s*\w*\s+\d+\s+([0-9a-fA-F\s]+)")


def read(data: bytes) -> Contents:
    """Checks a PNG and takes from it what its pixels need.

    Raises:
        ItemError: truncated, damaged; unsupported_format for critical chunks that are not known here.
    """
    header, pixels, found, xmp = b"", [], dict[bytes, bytes](), b""
    complete = False
    for kind, body, is_sound in _chunks(data):
        if kind == b"IHDR":
            header = _checked_header(body, header)
        elif not header:
            raise damaged("PNG", "it does not begin with its header")
        elif kind == b"IDAT":
            if complete:
                raise damaged("PNG", "its pixels are not in one piece")
            pixels.append(body)
        elif kind == b"IEND":
            break
        elif kind in _KEPT:
            _keep(found, kind, body, is_sound)
        elif kind in (b"iTXt", b"zTXt", b"tEXt"):
            xmp, exif = xmp or _xmp(kind, body), _old_exif(kind, body)
            if exif:
                found.setdefault(b"eXIf", exif)
        elif not kind[0] & 0x20:
            raise unsupported(f"a PNG with the unknown critical chunk {kind.decode('latin-1')}", "save it again as plain PNG")
        complete = complete or (bool(pixels) and kind != b"IDAT")
    if not pixels:
        raise truncated("PNG", "it has no pixels")
    return _contents(header, pixels, found, xmp)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bool]]:
    """Kind, body, and whether the CRC is right: it must be for chunks that hold pixels."""
    at = len(_SIGNATURE)
    last = b""
    while at < len(data):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        end = at + 12 + length
        if end > len(data):
            if last == b"IDAT" and (kind == b"IEND"[: len(kind)] and (length == 0 or len(kind) < 4)):
                return
            raise truncated("PNG", f"a chunk of {length:,} bytes is not all there")
        if not kind.isalpha():
            raise damaged("PNG", "a chunk has no name")
        is_pixels = not kind[0] & 0x20 or kind == b"tRNS"
        is_sound = True
        if is_pixels or kind in _KEPT:
            is_sound = zlib.crc32(memoryview(data)[at + 4 : end - 4]) == int.from_bytes(data[end - 4 : end], "big")
        if is_pixels and not is_sound:
            raise damaged("PNG", f"the checksum of its chunk {kind.decode('ascii')} is wrong")
        is_text = kind in (b"iTXt", b"zTXt", b"tEXt")
        yield kind, data[at + 8 : min(end - 4, at + 8 + _LOOK) if is_text else end - 4], is_sound
        at, last = end, kind


def _checked_header(body: bytes, earlier: bytes) -> bytes:
    if earlier or len(body) != 13:
        raise damaged("PNG", "its header is not one header of 13 bytes")
    width, height, depth, colour, compression, filters, interlace = struct.unpack(">IIBBBBB", body)
    if not 0 < width < 2**31 or not 0 < height < 2**31:
        raise damaged("PNG", f"its header says {width} x {height} pixels")
    if depth not in _DEPTHS.get(colour, ()) or compression or filters or interlace > 1:
        raise damaged(
            "PNG", f"its header says colour type {colour}, {depth} bits, methods {compression}, {filters}, {interlace}"
        )
    return body


def _keep(found: dict[bytes, bytes], kind: bytes, body: bytes, is_sound: bool) -> None:
    if kind == b"PLTE" and (kind in found or not body or len(body) % 3 or len(body) > 768):
        raise damaged("PNG", "its palette is not one palette of at most 256 colours")
    if is_sound:
        found.setdefault(kind, body)
    elif kind in _COLOUR:
        found.setdefault(kind, b"")


def _contents(header: bytes, pixels: list[bytes], found: dict[bytes, bytes], xmp: bytes) -> Contents:
    width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", header)
    expected = _raw_bytes(width, height, depth * _CHANNELS[colour], interlace)
    key = found.get(b"tRNS")
    _check_key(key, depth, colour, found.get(b"PLTE", b""))
    contents = Contents(b"", (width, height))
    contents.finish = partial(_finish, palette=len(found.get(b"PLTE", b"")) // 3, key=key if depth == 16 else None)
    if key is not None and depth == 16:
        key = None  # compared with all 16 bits, by `_finish`
    elif key is not None and colour == 0 and depth < 8:  # Pillow compares it with values of eight bits
        key = struct.pack(">H", int.from_bytes(key, "big") * 255 // (2**depth - 1))
    kept = [(b"IHDR", header), (b"PLTE", found.get(b"PLTE")), (b"tRNS", key)]
    parts = [chunk(kind, body) for kind, body in kept if body is not None]
    contents.complete = lambda: b"".join((_SIGNATURE, *parts, *_checked_pixels(pixels, expected), chunk(b"IEND", b"")))
    facts = read_exif(found.get(b"eXIf", b""), xmp)
    contents.orientation = facts.orientation
    contents.profile = _profile(found)
    if int.from_bytes(found.get(b"acTL", b"")[:4], "big") > 1:
        contents.notes.add(ItemNote.EXTRA_PAGES)
    return contents


def _check_key(key: bytes | None, depth: int, colour: int, palette: bytes) -> None:
    if colour == 3 and not palette:
        raise damaged("PNG", "it has no palette")
    if key is None:
        return
    if colour == 2 and depth == 16:
        raise unsupported("a PNG of 16 bits per sample with a transparent colour", "convert it to 8 bits")
    if (colour in (0, 2) and len(key) != 2 * _CHANNELS[colour]) or colour in (4, 6) or len(key) > 256:
        raise damaged("PNG", "its transparency (tRNS) does not fit its colour type")


def _finish(image: Image.Image, palette: int, key: bytes | None) -> Image.Image:
    if image.mode == "P" and image.getextrema()[1] >= palette:  # type: ignore[operator]
        raise damaged("PNG", f"pixels point behind its palette of {palette} colours")
    if key is None:
        return image
    values = np.asarray(image).astype(np.uint16)
    alpha = np.where(values == int.from_bytes(key, "big"), 0, 255).astype(np.uint8)
    return Image.merge("LA", (Image.fromarray((values >> 8).astype(np.uint8)), Image.fromarray(alpha)))


def _raw_bytes(width: int, height: int, bits: int, interlace: int) -> int:
    """Bytes of all rows, each with its filter byte (section 7)."""
    passes = _ADAM7 if interlace else ((0, 0, 1, 1),)
    total = 0
    for left, top, across, down in passes:
        columns, rows = -(-max(0, width - left) // across), -(-max(0, height - top) // down)
        total += rows * (1 + -(-columns * bits // 8)) if columns else 0
    return total


def _checked_pixels(pixels: list[bytes], expected: int) -> list[bytes]:
    """The IDAT chunks to be decoded, once their stream has proven to hold all rows and nothing more."""
    stream = zlib.decompressobj()
    whole = b"".join(pixels)
    try:
        if expected <= _UNCOMPRESSED:
            rows = stream.decompress(whole, expected + 1)
            count = len(rows) + len(stream.decompress(stream.unconsumed_tail, 1))
        else:
            rows, count, rest = b"", 0, whole
            while rest and not stream.eof and count <= expected:
                count += len(stream.decompress(rest, 2**20))
                rest = stream.unconsumed_tail
            count += len(stream.decompress(rest, 1)) if not stream.eof else 0
    except zlib.error as error:
        raise damaged("PNG", f"its pixels cannot be inflated ({error})") from error
    if count > expected:
        raise damaged("PNG", f"it holds more than the {expected:,} bytes of its rows")
    if count < expected or not stream.eof:
        raise truncated("PNG", f"it holds {count:,} of the {expected:,} bytes of its rows, or their checksum is missing")
    if not rows:
        return [chunk(b"IDAT", whole)]
    return [chunk(b"IDAT", _stored(rows))]


def _stored(rows: bytes) -> bytes:
    """The rows as a zlib stream of stored blocks, which costs next to nothing to inflate."""
    blocks = [b"\x78\x01"]
    for at in range(0, len(rows), _STORED):
        block = rows[at : at + _STORED]
        blocks += [struct.pack("<BHH", at + _STORED >= len(rows), len(block), len(block) ^ 0xFFFF), block]
    return b"".join((*blocks, struct.pack(">I", zlib.adler32(rows))))


def chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk with its CRC."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(body, zlib.crc32(kind)))


def _profile(found: dict[bytes, bytes]) -> bytes | None:
    """What the file says of its colours, as an ICC profile: cICP before iCCP before sRGB before gAMA and cHRM (section 4.3)."""
    if b"cICP" in found:
        code = found[b"cICP"]
        return coded_profile(code[0], code[1]) if len(code) == 4 and code[2:] == b"\0\1" else b""
    if b"iCCP" in found:
        return _inflated(found[b"iCCP"].partition(b"\0")[2][1:], MOST_BYTES)
    if b"sRGB" in found or not {b"gAMA", b"cHRM"} & found.keys():
        return None
    gamma = int.from_bytes(found.get(b"gAMA", b"\0\0\xb1\x8f"), "big") / 100_000
    primaries = SRGB_PRIMARIES
    if b"cHRM" in found:
        values = [value / 100_000 for value in struct.unpack(">8I", found[b"cHRM"].ljust(32, b"\0")[:32])]
        primaries = tuple(zip(values[::2], values[1::2], strict=True))  # type: ignore[assignment]
    same = all(
        abs(a - b) < 0.002 for one, two in zip(primaries, SRGB_PRIMARIES, strict=True) for a, b in zip(one, two, strict=True)
    )
    usual = abs(gamma - 0.45455) < 0.005
    if same and usual:
        return None
    try:
        return matrix_profile(primaries, None if usual else 1 / gamma)
    except (ValueError, ZeroDivisionError):
        return b""


def _inflated(body: bytes, most: int) -> bytes:
    try:
        return zlib.decompressobj().decompress(body, most + 1)
    except zlib.error:
        return b""


def _xmp(kind: bytes, body: bytes) -> bytes:
    return body if kind == b"iTXt" and body.startswith(b"XML:com.adobe.xmp\0\0") else b""


def _old_exif(kind: bytes, body: bytes) -> bytes:
    """EXIF as ImageMagick wrote it before PNG had eXIf: hexadecimal digits in a text chunk."""
    keyword, _, text = body.partition(b"\0")
    if keyword not in (b"Raw profile type exif", b"Raw profile type APP1") or kind == b"iTXt":
        return b""
    match = _HEX_EXIF.match(_inflated(text[1:], _LOOK) if kind == b"zTXt" else text)
    try:
        return bytes.fromhex(match[1].decode("ascii")) if match else b""
    except ValueError:
        return b""
