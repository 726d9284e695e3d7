"""Decompression of one ZIP member, bounded by its declared size: a bomb costs no more memory than an honest member.

Method numbers: APPNOTE.TXT 6.3, section 4.4.5; LZMA's header: section 5.8.8.
"""

from __future__ import annotations

import bz2
import importlib
import lzma
import zlib
from types import ModuleType
from typing import Protocol

from core.errors import ItemError, ItemErrorCode

STORED = 0
DEFLATED = 8
DEFLATE64 = 9
BZIP2 = 12
LZMA = 14
ZSTD_OLD = 20
ZSTD = 93
XZ = 95
AES = 99  # marks WinZip's encryption; the true method is in an extra field
OF_7Z = 0xFF07  # DermQ's own mark in the ZIP that a .7z becomes
_NAMES = {
    1: "Shrink",
    6: "Implode",
    DEFLATE64: "Deflate64",
    10: "PKWARE Implode",
    BZIP2: "bzip2",
    LZMA: "LZMA",
    19: "LZ77",
    ZSTD: "Zstandard",
    94: "MP3",
    XZ: "xz",
    96: "JPEG recompression",
    97: "WavPack",
    98: "PPMd",
    OF_7Z: "of 7z other than Copy, LZMA, LZMA2, bzip2 and Deflate, or with a dictionary that is too large",
}

_LZMA_MIN_DICTIONARY = 4096
_XZ_MEMORY_BYTES = 192 * 1024 * 1024  # `xz -9` needs 65 MiB to unpack; a header may ask for gigabytes
_DEFLATE64_STEP = 4096  # packed bytes at a time: at most some 4 MB come out of them


def damage_errors() -> tuple[type[Exception], ...]:
    """What the decompressors raise at damaged bytes. Anything else that comes up meanwhile is not about the bytes: a time limit
    that strikes, a lack of memory, a bug.
    """
    known = (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError)  # OSError: bz2; ValueError: properties of LZMA
    zstd = zstd_module()
    return known if zstd is None else (*known, zstd.ZstdError)


class Decoder(Protocol):
    """What bz2, lzma and zstd decompressors have in common."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class ZlibDecoder:
    """zlib with the interface of the others. `wbits`: -15 raw deflate, 31 gzip."""

    def __init__(self, wbits: int) -> None:
        self._decoder = zlib.decompressobj(wbits)

    @property
    def eof(self) -> bool:
        return self._decoder.eof

    @property
    def needs_input(self) -> bool:
        return not self._decoder.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._decoder.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """Up to `max_length` bytes; what is left of `data` is kept for the next call."""
        tail = self._decoder.unconsumed_tail
        return self._decoder.decompress(tail + data if tail else data, max(max_length, 0))


class _Deflate64Decoder:
    """inflate64 with the interface of the others; it cannot bound its output, so its input comes in small steps."""

    def __init__(self, module: ModuleType) -> None:
        self._inflater = module.Inflater()
        self._rest = memoryview(b"")

    @property
    def eof(self) -> bool:
        return bool(self._inflater.eof)

    @property
    def needs_input(self) -> bool:
        return not self._rest

    @property
    def unused_data(self) -> bytes:
        return bytes(self._rest)

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """At least `max_length` bytes, if there are so many; a step's worth more at most."""
        self._rest = memoryview(data) if data else self._rest
        pieces, total = [], 0
        while self._rest and not self.eof and (max_length < 0 or total < max_length):
            piece = self._inflater.inflate(bytes(self._rest[:_DEFLATE64_STEP]))
            self._rest = self._rest[_DEFLATE64_STEP:]
            pieces.append(piece)
            total += len(piece)
        return b"".join(pieces)


def inflate64_module() -> ModuleType | None:
    """The package inflate64, which py7zr brings along; None where it is not there."""
    try:
        return importlib.import_module("inflate64")
    except ImportError:
        return None


def zstd_module() -> ModuleType | None:
    """Python's own compression.zstd (3.14), or its backport; None where neither is there."""
    for name in ("compression.zstd", "backports.zstd"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None


def unpack(method: int, data: bytes, size: int) -> bytes:
    """The member's bytes.

    Args:
        method: compression method of the ZIP format.
        data: the packed bytes, whole.
        size: declared unpacked size in bytes; never more than that plus one byte is unpacked.

    Raises:
        ItemError: UNSUPPORTED_FORMAT (method), TRUNCATED (data end early), BAD_CHECKSUM (damaged, or of another size).
    """
    raw = data if method == STORED else _decode(method, data, size)
    if len(raw) != size:
        came = f"more than {size:,}" if len(raw) > size else f"{len(raw):,}"
        raise ItemError(ItemErrorCode.BAD_CHECKSUM, f"expected {size:,} bytes as declared, got {came}")
    return raw


def supports(method: int) -> bool:
    """Whether `unpack` knows the method."""
    if method in (ZSTD, ZSTD_OLD):
        return zstd_module() is not None
    if method == DEFLATE64:
        return inflate64_module() is not None
    return method in (STORED, DEFLATED, BZIP2, LZMA, XZ)


def method_name(method: int) -> str:
    """The method's number, and its name where it has one."""
    if method == OF_7Z:
        return _NAMES[method]
    return f"{method} ({_NAMES[method]})" if method in _NAMES else str(method)


def _decode(method: int, data: bytes, size: int) -> bytes:
    try:
        decoder, data = _make_decoder(method, data, size)
        raw = _decode_bounded(decoder, data, size + 1)
    except ItemError:
        raise
    except damage_errors() as error:
        raise ItemError(ItemErrorCode.BAD_CHECKSUM, f"damaged: {error}") from error
    if not decoder.eof and len(raw) < size:
        raise ItemError(ItemErrorCode.TRUNCATED, f"the packed bytes end after {len(raw):,} of {size:,} bytes")
    return raw


def _decode_bounded(decoder: Decoder, data: bytes, max_bytes: int) -> bytes:
    raw = decoder.decompress(data, max_bytes)
    if decoder.eof or len(raw) >= max_bytes or decoder.needs_input:
        return raw
    pieces = [raw]  # bz2, lzma and zstd may return less than there is
    missing = max_bytes - len(raw)
    while missing > 0 and not decoder.eof and (piece := decoder.decompress(b"", missing)):
        pieces.append(piece)
        missing -= len(piece)
    return b"".join(pieces)


def _make_decoder(method: int, data: bytes, size: int) -> tuple[Decoder, bytes]:
    if method == DEFLATED:
        return ZlibDecoder(-15), data
    if method == BZIP2:
        return bz2.BZ2Decompressor(), data
    if method == LZMA:
        return _make_lzma(data, size)
    if method == XZ:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY_BYTES), data
    if method == DEFLATE64 and (inflate64 := inflate64_module()) is not None:
        return _Deflate64Decoder(inflate64), data
    if method in (ZSTD, ZSTD_OLD) and (zstd := zstd_module()) is not None:
        decoder: Decoder = zstd.ZstdDecompressor()
        return decoder, data
    text = f"compression method {method_name(method)} cannot be unpacked: pack the archive again with Deflate"
    raise ItemError(ItemErrorCode.UNSUPPORTED_FORMAT, text)


def _make_lzma(data: bytes, size: int) -> tuple[Decoder, bytes]:
    if len(data) < 9 or data[2:4] != b"\x05\x00":
        raise ItemError(ItemErrorCode.BAD_CHECKSUM, "damaged: expected 5 bytes of LZMA properties")
    literal, dictionary = data[4], int.from_bytes(data[5:9], "little")
    # The decoder allocates its dictionary at once, and no member can refer further back than its own size.
    dictionary = max(min(dictionary, size), _LZMA_MIN_DICTIONARY)
    options = {
        "id": lzma.FILTER_LZMA1,
        "dict_size": dictionary,
        "lc": literal % 9,
        "lp": literal // 9 % 5,
        "pb": literal // 45,
    }
    return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[options]), data[9:]
