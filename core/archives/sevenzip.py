"""A .7z, made seekable once: unpacked as a stream through bounded memory into a ZIP of stored members.

Most .7z are solid: a member can only be had by unpacking all that stand before it. The ZIP keeps the CRC-32 of each member, so
damage fails the members that it hits when they are read.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator

from core.archives import inflate
from core.archives.compressed import ExpandLimits
from core.archives.inflate import Decoder, ZlibDecoder
from core.archives.notes import ArchiveNote, Notes
from core.archives.sevenzip_header import Coder, PackedFile, PackedRun, SevenZip, read_header
from core.archives.zip_writer import StoredEntry, StoredZipWriter
from core.errors import ArchiveError, JobErrorCode
from core.storage.base import ObjectWriter, RandomAccess

_READ_BYTES = 1024 * 1024
_MAX_DICTIONARY = 384 * 1024 * 1024  # 7-Zip's highest level takes 256 MiB
_MIN_DICTIONARY = 4096
_LZMA, _LZMA2, _DELTA = b"\3\1\1", b"\x21", b"\3"
_AES = b"\6\xf1\7\1"
_BRANCHES = {  # branch converters, for programs: liblzma undoes them before LZMA2
    b"\4": lzma.FILTER_X86,
    b"\3\3\1\3": lzma.FILTER_X86,
    b"\5": lzma.FILTER_POWERPC,
    b"\3\3\2\5": lzma.FILTER_POWERPC,
    b"\6": lzma.FILTER_IA64,
    b"\3\3\4\1": lzma.FILTER_IA64,
    b"\7": lzma.FILTER_ARM,
    b"\3\3\5\1": lzma.FILTER_ARM,
    b"\x08": lzma.FILTER_ARMTHUMB,
    b"\3\3\7\1": lzma.FILTER_ARMTHUMB,
    b"\x09": lzma.FILTER_SPARC,
    b"\3\3\x08\5": lzma.FILTER_SPARC,
}


class _CannotUnpackError(Exception):
    """This run's method is not supported."""


class _BrokenError(Exception):
    """This run's packed bytes are damaged or end early."""


def expand_7z(
    access: RandomAccess,
    writer: ObjectWriter,
    limits: ExpandLimits,
    max_member_bytes: int,
    on_progress: Callable[[int], None] | None = None,
    *,
    notes: Notes,
) -> None:
    """Write the ZIP; the caller commits.

    Members that cannot be had (encrypted, packed by a method that is not supported, damaged, too large) get an entry without
    their bytes, which fails them with their code when the ZIP is listed or read.

    Args:
        access: the .7z.
        writer: takes the ZIP.
        limits: beyond them it is a bomb.
        max_member_bytes: members larger than that are not written.
        on_progress: called with the packed bytes read so far, after every megabyte.
        notes: takes bytes behind the archive.

    Raises:
        ArchiveError: the list of members is damaged, encrypted or too long, the file is cut off, or code "archive_bomb".
    """
    archive = read_header(access, lambda run: _unpack_header(access, run))
    _expect_no_bomb(access, archive, limits)
    notes.add(ArchiveNote.TRAILING_BYTES, access.size - archive.end)
    output = StoredZipWriter(writer)
    for file in archive.empty:
        output.begin(file.name)
        output.add(_entry(file, 0, 0))
    for run in archive.runs:
        _copy_run(access, run, output, max_member_bytes)
        if on_progress is not None:
            on_progress(run.offset + run.packed_size)
    output.finish()


def _expect_no_bomb(access: RandomAccess, archive: SevenZip, limits: ExpandLimits) -> None:
    total = sum(run.size for run in archive.runs)
    max_bytes = min(limits.max_bytes, limits.free_bytes + int(access.size * limits.max_ratio))
    if total > max_bytes:
        text = f"the 7z archive unpacks to {total:,} bytes from {access.size:,}, more than {max_bytes:,}: taken for a bomb"
        raise ArchiveError(text, code=JobErrorCode.ARCHIVE_BOMB)


def _unpack_header(access: RandomAccess, run: PackedRun) -> bytes:
    if any(coder.method == _AES for coder in run.coders):
        raise ArchiveError(
            "the 7z archive is encrypted, the list of its members included: pack it again without a password",
            code=JobErrorCode.ENCRYPTED_ARCHIVE,
        )
    try:
        data = b"".join(_Unpacked(access, run).read(run.size))
    except _CannotUnpackError as error:
        raise ArchiveError(f"the 7z archive's list of members cannot be unpacked: {error}") from error
    except _BrokenError as error:
        raise ArchiveError(f"the 7z archive's list of members is damaged: {error}") from error
    if run.files[0].crc32 not in (None, zlib.crc32(data)):
        raise ArchiveError("the 7z archive's list of members contradicts its checksum: damaged")
    return data


def _copy_run(access: RandomAccess, run: PackedRun, output: StoredZipWriter, max_member_bytes: int) -> None:
    encrypted = any(coder.method == _AES for coder in run.coders)
    method = 0
    unpacked: _Unpacked | None = None
    if not encrypted:
        try:
            unpacked = _Unpacked(access, run)
        except _CannotUnpackError:
            method = inflate.OF_7Z
    for file in run.files:
        output.begin(file.name)
        stored = crc32 = 0
        if unpacked is not None:
            try:
                for piece in unpacked.read(file.size):
                    if file.size <= max_member_bytes:
                        output.write(piece)
                        stored += len(piece)
                        crc32 = zlib.crc32(piece, crc32)
            except _BrokenError:
                unpacked = None  # nor can what stands behind be had
        output.add(_entry(file, stored, crc32, method=method, encrypted=encrypted))


def _entry(file: PackedFile, stored: int, crc32: int, *, method: int = 0, encrypted: bool = False) -> StoredEntry:
    known = crc32 if file.crc32 is None else file.crc32
    return StoredEntry(file.name, file.size, stored, known, file.mode, method, encrypted)


class _Unpacked:
    """The bytes of one run, in order."""

    def __init__(self, access: RandomAccess, run: PackedRun) -> None:
        """Raises _CannotUnpackError for methods that are not supported."""
        self._access = access
        self._position = run.offset
        self._end = run.offset + run.packed_size
        self._decoder = _make_decoder(run)
        self._left = b""

    def read(self, size: int) -> Iterator[bytes]:
        """The next `size` bytes.

        Raises:
            _BrokenError: damaged, or fewer.
        """
        while size > 0:
            piece = self._left or self._next(min(size, _READ_BYTES))
            self._left = piece[size:]
            piece = piece[:size]
            size -= len(piece)
            yield piece

    def _next(self, length: int) -> bytes:
        piece = b""
        while not piece:
            data = b""
            if self._decoder.eof:
                raise _BrokenError("the packed bytes end early")
            if self._decoder.needs_input:
                data = self._access.read_at(self._position, min(_READ_BYTES, self._end - self._position))
                self._position += len(data)
                if not data:
                    raise _BrokenError("the packed bytes end early")
            try:
                piece = self._decoder.decompress(data, length)
            except MemoryError:
                raise
            except Exception as error:  # zlib.error, OSError (bz2), LZMAError, ValueError, EOFError, ZstdError
                raise _BrokenError(str(error)) from error
        return piece


class _Copy:
    """What is stored as it is."""

    eof, needs_input, unused_data = False, True, b""

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:  # noqa: ARG002 - as its siblings
        return data


def _make_decoder(run: PackedRun) -> Decoder:
    if not run.coders:
        raise _CannotUnpackError("several streams at once")
    first, *filters = run.coders
    if first.method in (_LZMA, _LZMA2):
        chain = [*(_filter(coder, first) for coder in reversed(filters)), _lzma_filter(first, run.size)]
        try:
            return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=chain)
        except (lzma.LZMAError, ValueError) as error:
            raise _CannotUnpackError(str(error)) from error
    makers: dict[bytes, Callable[[], Decoder]] = {
        b"\0": _Copy,
        b"\4\1\x08": lambda: ZlibDecoder(-15),
        b"\4\2\2": bz2.BZ2Decompressor,
    }
    if filters or first.method not in makers:
        raise _CannotUnpackError(f"method {first.method.hex()}")
    return makers[first.method]()


def _filter(coder: Coder, packer: Coder) -> dict[str, int]:
    if coder.method == _DELTA and len(coder.properties) == 1:
        return {"id": lzma.FILTER_DELTA, "dist": coder.properties[0] + 1}
    if coder.method in _BRANCHES and packer.method == _LZMA2:  # LZMA has no end mark here, and a converter looks ahead
        return {"id": _BRANCHES[coder.method]}
    raise _CannotUnpackError(f"method {coder.method.hex()}")


def _lzma_filter(coder: Coder, size: int) -> dict[str, int]:
    """No member refers further back than what was unpacked before it, so the dictionary need not be larger than the run."""
    properties = coder.properties
    if len(properties) != (1 if coder.method == _LZMA2 else 5):
        raise _CannotUnpackError("LZMA without its properties")
    if coder.method == _LZMA2:
        bits = properties[0]
        wanted = (2 | bits & 1) << (bits // 2 + 11) if bits < 40 else 0xFFFFFFFF
        options: dict[str, int] = {"id": lzma.FILTER_LZMA2}
    else:
        literal, wanted = properties[0], int.from_bytes(properties[1:], "little")
        options = {"id": lzma.FILTER_LZMA1, "lc": literal % 9, "lp": literal // 9 % 5, "pb": literal // 45}
    dictionary = max(min(wanted, size), _MIN_DICTIONARY)
    if dictionary > _MAX_DICTIONARY:
        raise _CannotUnpackError(f"a dictionary of {dictionary:,} bytes")
    return options | {"dict_size": dictionary}
