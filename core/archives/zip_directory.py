"""The central directory of a ZIP file, read in constant memory however many entries it has.

Layout: APPNOTE.TXT 6.3 (PKWARE), sections 4.3.12 (central directory header), 4.3.14 to 4.3.16 (end records), 4.5.3 (ZIP64
field). Bytes before the archive (self-extracting files) shift all offsets. macOS's Archive Utility writes counts modulo 2^16
and offsets modulo 2^32 where ZIP64 is due; both are recognised by what is there and read as meant.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from core.errors import ArchiveError, JobErrorCode
from core.storage.base import RandomAccess

MAX_DIRECTORY_BYTES = 4 * 1024**3  # some 40 million entries

_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR64 = struct.Struct("<4sLQL")
_HEADER = struct.Struct("<4s6H3L5H2L")
_END_MARK, _END64_MARK, _LOCATOR64_MARK, _HEADER_MARK = b"PK\5\6", b"PK\6\6", b"PK\6\7", b"PK\1\2"
_LOCAL_MARK = b"PK\3\4"
_MAX_COMMENT = 0xFFFF
_FULL16, FULL32 = 0xFFFF, 0xFFFFFFFF  # "look into the ZIP64 record"
_BLOCK = 1024 * 1024
_MAX_CANDIDATES = 16
_NEEDS_ENCRYPTION = 62  # version needed for an encrypted directory (APPNOTE 4.4.3.2), described by a longer end record
_EXTRA_ZIP64 = 0x0001


class SplitArchiveError(ArchiveError):
    """The end record speaks of several disks."""

    def __init__(self) -> None:
        super().__init__("expected a ZIP file in one piece, got one part of a split archive: join the parts first")


class Entry(NamedTuple):
    """One header of the central directory; offset already counts from the first byte of the file."""

    name: bytes
    flags: int
    method: int
    crc32: int
    packed_size: int
    size: int
    attributes: int
    offset: int
    extra: bytes
    host: int  # high byte of `version made by`: 0 FAT, 3 Unix, …


@dataclass(frozen=True, slots=True)
class Directory:
    """Where the central directory lies, in bytes from the start of the file."""

    start: int
    size: int
    entries: int  # as claimed by the end record
    shift: int  # bytes before the archive
    zip64: bool
    end: int  # of the archive, its comment included; what the comment claims beyond the file counts as there


def find_directory(access: RandomAccess, max_behind: int = _MAX_COMMENT) -> Directory:
    """Locate the central directory through the end record.

    Args:
        access: the file.
        max_behind: how many bytes may follow the end record, a comment or others.

    Raises:
        ArchiveError: no ZIP file, damaged, cut off, or one part of several.
    """
    base = max(0, access.size - _END.size - max_behind)
    tail = access.read_at(base, access.size - base)
    text = "expected the end record of a ZIP file, found none: the file is cut off, not a ZIP, or one part of a split archive"
    first_error = ArchiveError(f"{text}; upload it again, or join the parts first")
    empty: Directory | None = None
    for found, position in enumerate(_end_marks(tail)):
        try:  # a comment, or bytes after the archive, may hold the mark by chance
            directory = _read_end(access, _END.unpack_from(tail, position), base + position)
        except ArchiveError as error:
            first_error = error if found == 0 else first_error
            continue
        if directory.size or not directory.shift:
            return directory
        empty = empty or directory  # no entries behind other bytes: rather a comment full of zeros than an archive
    if empty is not None:
        return empty
    raise first_error


def settle_shift(access: RandomAccess, directory: Directory) -> Directory:
    """Find out what stands before an archive whose offsets do not count from the file's first byte.

    Raises:
        ArchiveError: another ZIP; or the archive is cut off, and the directory is that of a ZIP inside it.
    """
    if directory.shift <= 0 or _is_wrapped(directory) or access.read_at(0, len(_LOCAL_MARK)) != _LOCAL_MARK:
        return directory
    before = f"{directory.shift:,} bytes stand before this ZIP and begin like another ZIP"
    advice = "send each archive by itself, or, if it was meant to be one, upload it again"
    if not directory.size:
        raise ArchiveError(f"{before}, but its end record names no members at all: damaged; {advice}")
    fields, name, extra = next(_headers(access, directory))
    _, _, offset = _widen(fields[9], fields[8], fields[16], extra)
    if _is_member_at(access, offset, name):
        return replace(directory, shift=0)  # the directory's own offset is wrong, those of the members are right
    if _is_member_at(access, offset + directory.shift, name):
        raise ArchiveError(f"{before}: two archives in one file, or one that is cut off; {advice}")
    return directory


def _is_member_at(access: RandomAccess, offset: int, name: bytes) -> bool:
    header = access.read_at(offset, 30 + len(name))
    return header.startswith(_LOCAL_MARK) and header[30:] == name


def _end_marks(tail: bytes) -> Iterator[int]:
    position = len(tail) - _END.size + len(_END_MARK)
    for _ in range(_MAX_CANDIDATES):
        position = tail.rfind(_END_MARK, 0, max(position, 0))
        if position < 0:
            return
        yield position


def _read_end(access: RandomAccess, fields: tuple[bytes, int, int, int, int, int, int, int], end: int) -> Directory:
    _, disk, directory_disk, here, entries, size, offset, comment = fields
    zip64, archive_end = False, end + _END.size + comment
    locator = access.read_at(end - _LOCATOR64.size, _LOCATOR64.size) if end >= _LOCATOR64.size else b""
    if locator.startswith(_LOCATOR64_MARK):
        end, (disk, directory_disk, here, entries, size, offset) = _read_end64(access, locator, end - _LOCATOR64.size)
        zip64 = True
    if disk not in (0, _FULL16) or directory_disk not in (0, _FULL16) or here != entries:
        raise SplitArchiveError
    if size > MAX_DIRECTORY_BYTES:
        raise ArchiveError(f"the ZIP's central directory claims {size:,} bytes, the limit is {MAX_DIRECTORY_BYTES:,}")
    shift = end - size - offset
    if shift < 0 or entries * _HEADER.size > size:
        raise ArchiveError("the ZIP's end record contradicts the file's size: the file is cut off or damaged")
    if size and access.read_at(end - size, len(_HEADER_MARK)) != _HEADER_MARK:
        raise ArchiveError(f"expected the ZIP's central directory at byte {end - size:,}, found something else: damaged")
    return Directory(end - size, size, entries, shift, zip64, archive_end)


def _read_end64(access: RandomAccess, locator: bytes, end: int) -> tuple[int, tuple[int, int, int, int, int, int]]:
    _, disk, offset, disks = _LOCATOR64.unpack(locator)
    if disk != 0 or disks > 1:
        raise SplitArchiveError
    for position in (offset, end - _END64.size):  # the second where bytes precede the archive
        record = access.read_at(position, _END64.size) if 0 <= position < end else b""
        if len(record) == _END64.size and record.startswith(_END64_MARK):
            _, length, _, needed, disk, directory_disk, here, entries, size, start = _END64.unpack(record)
            if length > _END64.size - 12 and needed >= _NEEDS_ENCRYPTION:
                text = "the ZIP is encrypted, its list of members included: pack it again without a password"
                raise ArchiveError(text, JobErrorCode.ENCRYPTED_ARCHIVE)
            return position, (disk, directory_disk, here, entries, size, start)
    raise ArchiveError("expected the ZIP64 end record where its locator points, found something else: damaged")


def read_entries(access: RandomAccess, directory: Directory) -> Iterator[Entry]:
    """All entries in directory order, one megabyte of the directory held at a time.

    Raises:
        ArchiveError: the directory is damaged, or holds another number of entries than claimed.
    """
    count = 0
    place = _Unwrapped() if _is_wrapped(directory) else _Shifted(directory.shift)
    for fields, name, extra in _headers(access, directory):
        count += 1
        _, made_by, _, flags, method, _, _, crc32, packed_size, size, _, _, _, _, _, attributes, offset = fields
        if FULL32 in (size, packed_size, offset):
            size, packed_size, offset = _widen(size, packed_size, offset, extra)
        offset = place.absolute(offset, packed_size)
        yield Entry(name, flags, method, crc32, packed_size, size, attributes, offset, extra, made_by >> 8)
    # Writers without ZIP64 count modulo 2^16.
    if count != directory.entries and (directory.zip64 or (count - directory.entries) % (_FULL16 + 1)):
        raise ArchiveError(f"the ZIP claims {directory.entries:,} entries and holds {count:,}: damaged")


def _headers(access: RandomAccess, directory: Directory) -> Iterator[tuple[tuple[int, ...], bytes, bytes]]:
    position, end = directory.start, directory.start + directory.size
    block, cursor = b"", 0
    unpack, fixed = _HEADER.unpack_from, _HEADER.size
    while position < end:
        known_end = position + len(block) - cursor
        if len(block) - cursor < fixed + 3 * _FULL16 and known_end < end:
            block = block[cursor:] + access.read_at(known_end, min(_BLOCK, end - known_end))
            cursor = 0
        if len(block) - cursor < fixed or block[cursor : cursor + 4] != _HEADER_MARK:
            raise ArchiveError(f"expected an entry of the ZIP's central directory at byte {position:,}, found something else")
        fields = unpack(block, cursor)
        name_end = cursor + fixed + fields[10]
        extra_end = name_end + fields[11]
        length = extra_end + fields[12] - cursor
        if position + length > end or cursor + length > len(block):
            raise ArchiveError(f"the entry at byte {position:,} of the ZIP's central directory is longer than the directory")
        yield fields, block[cursor + fixed : name_end], block[name_end:extra_end]
        cursor += length
        position += length


def _widen(size: int, packed_size: int, offset: int, extra: bytes) -> tuple[int, int, int]:
    """Take what did not fit into 32 bits from the ZIP64 field; a missing value stays as it is, and fails where it is used."""
    field = extra_field(extra, _EXTRA_ZIP64)
    values = [size, packed_size, offset]
    for index, value in enumerate(values):
        if value == FULL32 and len(field) >= 8:
            values[index], field = int.from_bytes(field[:8], "little"), field[8:]
    return values[0], values[1], values[2]


def extra_field(extra: bytes, kind: int) -> bytes:
    """The content of the first extra field of a kind, b"" if there is none."""
    cursor = 0
    while cursor + 4 <= len(extra):
        field, length = struct.unpack_from("<HH", extra, cursor)
        if field == kind:
            return extra[cursor + 4 : cursor + 4 + length]
        cursor += 4 + length
    return b""


def _is_wrapped(directory: Directory) -> bool:
    return not directory.zip64 and directory.shift > 0 and directory.shift % (FULL32 + 1) == 0


@dataclass(slots=True)
class _Shifted:
    """Offsets count from the first byte of the archive, `shift` bytes into the file."""

    shift: int

    def absolute(self, offset: int, packed_size: int) -> int:  # noqa: ARG002 - the signature of its sibling
        return offset + self.shift


@dataclass(slots=True)
class _Unwrapped:
    """Offsets were cut to 32 bits; the members lie in directory order, so each lies behind the one before it."""

    floor: int = 0

    def absolute(self, offset: int, packed_size: int) -> int:
        if offset < self.floor:
            offset += -(-(self.floor - offset) // (FULL32 + 1)) * (FULL32 + 1)
        self.floor = offset + packed_size
        return offset
