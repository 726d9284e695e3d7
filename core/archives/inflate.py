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
BZIP2 = 12
LZMA = 14
ZSTD = 93
AES = 99  # marks WinZip's encryption; the true method is in an extra field

_LZMA_MIN_DICTIONARY = 4096


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
    return method in (STORED, DEFLATED, BZIP2, LZMA) or (method == ZSTD and zstd_module() is not None)


def _decode(method: int, data: bytes, size: int) -> bytes:
    # The libraries raise zlib.error, OSError (bz2), LZMAError, ValueError (properties), EOFError and ZstdError, an Exception.
    try:
        decoder, data = _make_decoder(method, data, size)
        raw = _decode_bounded(decoder, data, size + 1)
    except ItemError:
        raise
    except MemoryError:
        raise
    except Exception as error:
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
    if method == ZSTD and (zstd := zstd_module()) is not None:
        decoder: Decoder = zstd.ZstdDecompressor()
        return decoder, data
    raise ItemError(ItemErrorCode.UNSUPPORTED_FORMAT, f"compression method {method} is not supported")


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
