"""Compressed TARs, made plain once: a stream through constant memory, bounded against bombs."""

from __future__ import annotations

import bz2
import lzma
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from core.archives.inflate import Decoder, ZlibDecoder, damage_errors, zstd_module
from core.archives.notes import ArchiveNote, Notes
from core.archives.tar_header import BLOCK, ZEROS, is_header
from core.errors import ArchiveError, JobErrorCode
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
    LZMA = "lzma"  # the old format without a checksum, .tar.lzma


_MAGIC = (
    (re.compile(rb"\x1f\x8b"), Codec.GZIP),
    (re.compile(rb"BZh"), Codec.BZIP2),
    (re.compile(rb"\xfd7zXZ\0"), Codec.XZ),
    (re.compile(rb"\x28\xb5\x2f\xfd"), Codec.ZSTD),
    (re.compile(rb"[\x50-\x5f]\x2a\x4d\x18"), Codec.ZSTD),  # a frame to be skipped, as pzstd writes it
    # Usual properties, a size that is unknown or below 64 GiB.
    (re.compile(rb"\x5d\0(?:\0..|[\x10\x20\x40\x80]\0\0)(?:\xff{8}|.{4}[\0-\x0f]\0{3})", re.DOTALL), Codec.LZMA),
)
_MAGIC_BYTES = 13
_END_MARKER = bytes(2 * BLOCK)


@dataclass(frozen=True, slots=True)
class ExpandLimits:
    """What unpacking may cost. Photographs hardly shrink; only bombs reach these ratios."""

    max_bytes: int = 1024**4
    max_ratio: float = 100.0  # unpacked to packed, beyond the free bytes
    free_bytes: int = 256 * 1024**2


def sniff_codec(head: bytes) -> Codec | None:
    """The compression that a file's first bytes announce."""
    return next((codec for magic, codec in _MAGIC if magic.match(head)), None)


def expand_tar(
    access: RandomAccess,
    codec: Codec,
    writer: ObjectWriter,
    limits: ExpandLimits,
    on_progress: Callable[[int], None] | None = None,
    *,
    notes: Notes | None = None,
) -> int:
    """Write the plain TAR; the caller commits. Returns its size in bytes.

    Several compressed streams in a row are one file, whatever the compression of each; zeros between and behind are padding.

    Args:
        access: the compressed file.
        codec: its compression.
        writer: takes the plain bytes.
        limits: beyond them it is a bomb.
        on_progress: called with the packed bytes read so far, after every megabyte (to renew a lease, to see a cancellation).
        notes: takes what is noted: other bytes behind the compressed data of a TAR that has its end marker.

    Raises:
        ArchiveError: damaged, cut off, no TAR inside, other bytes behind one without an end marker, or code "archive_bomb".
    """
    max_bytes = min(limits.max_bytes, limits.free_bytes + int(access.size * limits.max_ratio))
    size = 0
    head = tail = b""
    stream = _Stream(access, codec, on_progress)
    for piece in stream:
        size += len(piece)
        if size > max_bytes:
            text = f"the {codec} archive unpacks to more than {max_bytes:,} bytes from {access.size:,}: taken for a bomb"
            raise ArchiveError(text, code=JobErrorCode.ARCHIVE_BOMB)
        if len(head) < BLOCK:
            head += piece[:BLOCK]
            if len(head) >= BLOCK:
                _expect_tar(head, codec)
        tail = (tail + piece)[-len(_END_MARKER) :] if len(piece) < len(_END_MARKER) else piece[-len(_END_MARKER) :]
        writer.write(piece)
    if len(head) < BLOCK:
        _expect_tar(head, codec)
    if stream.behind:
        if tail != _END_MARKER:
            raise ArchiveError(
                f"{stream.behind:,} bytes behind the {codec} data of the archive are none, and the TAR has no end marker: "
                "damaged, upload it again"
            )
        (notes if notes is not None else Notes()).add(ArchiveNote.TRAILING_BYTES, stream.behind)
    return size


def _expect_tar(head: bytes, codec: Codec) -> None:
    if not is_header(head) and head[:BLOCK] != ZEROS:
        raise ArchiveError(f"expected a TAR inside the {codec} file, got something else: pack the images as ZIP or TAR")


class _Stream:
    """The unpacked bytes of all compressed streams in a file, piece by piece."""

    def __init__(self, access: RandomAccess, codec: Codec, on_progress: Callable[[int], None] | None) -> None:
        self._access = access
        self._codec = codec
        self._on_progress = on_progress
        self._position = 0
        self.behind = 0  # bytes at the end of the file that are no compressed stream

    def __iter__(self) -> Iterator[bytes]:
        decoder = _make_decoder(self._codec)
        while data := self._read(_READ_BYTES):
            while data or not decoder.needs_input:
                if decoder.eof:
                    data = self._next_stream(data)
                    if not data:
                        break
                    decoder = _make_decoder(self._codec)
                if piece := _decompress(decoder, data, self._codec):
                    yield piece
                data = decoder.unused_data if decoder.eof else b""
            if self._on_progress is not None:
                self._on_progress(self._position)
            if self.behind:
                return
        if not decoder.eof:
            raise ArchiveError(f"the {self._codec} archive ends within its compressed data: it is cut off, upload it again")

    def _next_stream(self, data: bytes) -> bytes:
        """What follows a stream, beginning with the next one; b"" if it is padding, or no compressed stream."""
        while not (data := data.lstrip(b"\0")):
            if not (data := self._read(_READ_BYTES)):
                return b""
        if len(data) < _MAGIC_BYTES:
            data += self._read(_MAGIC_BYTES)
        codec = sniff_codec(data)
        if codec is None:
            self.behind = self._access.size - self._position + len(data)
            return b""
        self._codec = codec
        return data

    def _read(self, length: int) -> bytes:
        data = self._access.read_at(self._position, length)
        self._position += len(data)
        return data


def _decompress(decoder: Decoder, data: bytes, codec: Codec) -> bytes:
    try:
        return decoder.decompress(data, _PIECE_BYTES)
    except damage_errors() as error:
        raise ArchiveError(f"the {codec} archive is damaged: {error}") from error


def _make_decoder(codec: Codec) -> Decoder:
    if codec is Codec.GZIP:
        return ZlibDecoder(31)
    if codec is Codec.BZIP2:
        return bz2.BZ2Decompressor()
    if codec is Codec.LZMA:
        return lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=_XZ_MEMORY_BYTES)
    if codec is Codec.XZ:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY_BYTES)
    zstd = zstd_module()
    if zstd is None:
        raise ArchiveError("zstd archives need the Python package backports.zstd (built in from 3.14): install it, or use gzip")
    decoder: Decoder = zstd.ZstdDecompressor()
    return decoder
