"""Compressed TARs, made plain once: a stream through constant memory, bounded against bombs."""

from __future__ import annotations

import bz2
import lzma
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from core.archives.inflate import Decoder, ZlibDecoder, zstd_module
from core.archives.tar_header import BLOCK, ZEROS, is_header
from core.errors import ArchiveError
from core.storage.base import ObjectWriter, RandomAccess

_READ_BYTES = 1024 * 1024
_PIECE_BYTES = 1024 * 1024
_XZ_MEMORY_BYTES = 192 * 1024 * 1024  # `xz -9` needs 65 MiB to unpack; a header may ask for gigabytes


class Codec(StrEnum):
    """How a TAR is compressed."""

    GZIP = "gzip"
    BZIP2 = "bzip2"
    XZ = "xz"
    ZSTD = "zstd"


_MAGIC = {
    b"\x1f\x8b": Codec.GZIP,
    b"BZh": Codec.BZIP2,
    b"\xfd7zXZ\x00": Codec.XZ,
    b"\x28\xb5\x2f\xfd": Codec.ZSTD,
}


@dataclass(frozen=True, slots=True)
class ExpandLimits:
    """What unpacking may cost. Photographs hardly shrink; only bombs reach these ratios."""

    max_bytes: int = 1024**4
    max_ratio: float = 100.0  # unpacked to packed, beyond the free bytes
    free_bytes: int = 256 * 1024**2


def sniff_codec(head: bytes) -> Codec | None:
    """The compression that a file's first bytes announce."""
    return next((codec for magic, codec in _MAGIC.items() if head.startswith(magic)), None)


def expand_tar(
    access: RandomAccess,
    codec: Codec,
    writer: ObjectWriter,
    limits: ExpandLimits,
    on_progress: Callable[[int], None] | None = None,
) -> int:
    """Write the plain TAR; the caller commits. Returns its size in bytes.

    Args:
        access: the compressed file.
        codec: its compression.
        writer: takes the plain bytes.
        limits: beyond them it is a bomb.
        on_progress: called with the packed bytes read so far, after every megabyte (to renew a lease, to see a cancellation).

    Raises:
        ArchiveError: damaged, cut off, no TAR inside, or code "archive_bomb".
    """
    max_bytes = min(limits.max_bytes, limits.free_bytes + int(access.size * limits.max_ratio))
    size = 0
    head = b""
    for piece in _unpack(access, codec, on_progress):
        size += len(piece)
        if size > max_bytes:
            text = f"the {codec} archive unpacks to more than {max_bytes:,} bytes from {access.size:,}: taken for a bomb"
            raise ArchiveError(text, code="archive_bomb")
        if len(head) < BLOCK:
            head += piece[:BLOCK]
            if len(head) >= BLOCK:
                _expect_tar(head, codec)
        writer.write(piece)
    if len(head) < BLOCK:
        _expect_tar(head, codec)
    return size


def _expect_tar(head: bytes, codec: Codec) -> None:
    if not is_header(head) and head[:BLOCK] != ZEROS:
        raise ArchiveError(f"expected a TAR inside the {codec} file, got something else: pack the images as ZIP or TAR")


def _unpack(access: RandomAccess, codec: Codec, on_progress: Callable[[int], None] | None) -> Iterator[bytes]:
    decoder = _make_decoder(codec)
    position = 0
    while data := access.read_at(position, _READ_BYTES):
        position += len(data)
        while True:
            if decoder.eof:  # several streams in a row are one file; zeros pad
                data = data.lstrip(b"\0")
                if not data:
                    break
                decoder = _make_decoder(codec)
            piece = _decompress(decoder, data, codec)
            if piece:
                yield piece
            data = decoder.unused_data if decoder.eof else b""
            if not decoder.eof and decoder.needs_input:
                break
        if on_progress is not None:
            on_progress(position)
    if not decoder.eof:
        raise ArchiveError(f"the {codec} archive ends within its compressed data: it is cut off, upload it again")


def _decompress(decoder: Decoder, data: bytes, codec: Codec) -> bytes:
    # The libraries raise zlib.error, OSError (bz2), LZMAError, EOFError and ZstdError, which is a plain Exception.
    try:
        return decoder.decompress(data, _PIECE_BYTES)
    except MemoryError:
        raise
    except Exception as error:
        raise ArchiveError(f"the {codec} archive is damaged: {error}") from error


def _make_decoder(codec: Codec) -> Decoder:
    if codec is Codec.GZIP:
        return ZlibDecoder(31)
    if codec is Codec.BZIP2:
        return bz2.BZ2Decompressor()
    if codec is Codec.XZ:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY_BYTES)
    zstd = zstd_module()
    if zstd is None:
        raise ArchiveError("zstd archives need the Python package backports.zstd (built in from 3.14): install it, or use gzip")
    decoder: Decoder = zstd.ZstdDecompressor()
    return decoder
