"""ZIP files: members from the central directory, each read by one range and unpacked within its declared size."""

from __future__ import annotations

import stat
import struct
import zlib
from collections.abc import Iterator
from functools import cache

from core.archives import inflate
from core.archives.base import Member
from core.archives.notes import Notes
from core.archives.ranges import read_member_range
from core.archives.screening import Problem, name_problem, size_problem
from core.archives.skipping import is_skipped
from core.archives.zip_directory import Entry, extra_field, find_directory, read_entries
from core.errors import ItemError, ItemErrorCode
from core.storage.base import RandomAccess

_FLAG_ENCRYPTED = 0x0001 | 0x0040 | 0x2000  # traditional, strong, masked headers
_FLAG_PATCH = 0x0020
_FLAG_UTF8 = 0x0800
_EXTRA_UNICODE_PATH = 0x7075  # Info-ZIP: the name in UTF-8 beside a name in the local code page
_LOCAL_BYTES = 30
_LOCAL_MARK = b"PK\3\4"
_LOCAL_LENGTHS = struct.Struct("<HH")  # of name and extra field, at byte 26
_SLACK = 128  # for a local extra field, so that header and data come with one read
_UNPACKED_GROWTH = 64 * 1024  # packed bytes may exceed the unpacked ones by a little, never by much


class ZipArchive:
    """Random access to the members of a ZIP file."""

    def __init__(self, access: RandomAccess, max_bytes: int) -> None:
        """Reads nothing yet.

        Args:
            access: the file; closed with the archive.
            max_bytes: limit for one unpacked member.
        """
        self._access = access
        self._max_bytes = max_bytes
        self._skipped = 0
        self._notes = Notes()

    @property
    def skipped(self) -> int:
        """Members passed over by members() so far."""
        return self._skipped

    @property
    def notes(self) -> Notes:
        """What members() has found worth a note so far."""
        return self._notes

    def members(self) -> Iterator[Member]:
        """All members in the order of the central directory.

        Raises:
            ArchiveError: the directory is missing, damaged or inconsistent.
        """
        self._skipped = 0
        self._notes.clear()
        for entry in read_entries(self._access, find_directory(self._access)):
            name = _decode_name(entry)
            if is_skipped(name) or _is_folder(entry, name):
                self._skipped += 1
                continue
            code, text = self._problem(entry, name) or (None, "")
            yield Member(name, entry.offset, entry.packed_size, entry.size, entry.method, entry.crc32, code, text)

    def _problem(self, entry: Entry, name: str) -> Problem | None:
        kind = stat.S_IFMT(entry.attributes >> 16)
        if kind not in (0, stat.S_IFREG):
            return ItemErrorCode.UNSAFE_PATH, "expected a regular file, got a link or a device"
        return name_problem(name) or size_problem(entry.size, self._max_bytes) or self._packing_problem(entry)

    def _packing_problem(self, entry: Entry) -> Problem | None:
        if entry.flags & _FLAG_ENCRYPTED or entry.method == inflate.AES:
            return ItemErrorCode.ENCRYPTED, "encrypted: pack the archive again without a password"
        if entry.flags & _FLAG_PATCH or not _supports(entry.method):
            return ItemErrorCode.UNSUPPORTED_FORMAT, f"compression method {entry.method} is not supported: use deflate"
        if entry.packed_size > self._max_bytes + _UNPACKED_GROWTH:
            return (
                ItemErrorCode.TOO_LARGE,
                f"{entry.packed_size:,} packed bytes, the limit for one image is {self._max_bytes:,}",
            )
        return None

    def read(self, member: Member) -> bytes:
        """The member's bytes, checked against its CRC-32.

        Raises:
            ItemError: what the listing already knew, or truncated, damaged, of another size than declared.
            StorageUnavailableError: the bytes cannot be reached now.
        """
        if member.error is not None:
            raise ItemError(member.error, member.error_text)
        raw = inflate.unpack(member.method, self._packed(member), member.size)
        if member.crc32 is not None and zlib.crc32(raw) != member.crc32:
            raise ItemError(
                ItemErrorCode.BAD_CHECKSUM, f"expected CRC-32 {member.crc32:08x}, got {zlib.crc32(raw):08x}: damaged"
            )
        return raw

    def _packed(self, member: Member) -> bytes:
        wanted = _LOCAL_BYTES + len(member.name.encode("utf-8", "surrogateescape")) + _SLACK + member.packed_size
        block = read_member_range(self._access, member, member.offset, wanted)
        if len(block) < _LOCAL_BYTES:
            raise ItemError(
                ItemErrorCode.TRUNCATED, f"the archive ends before byte {member.offset + _LOCAL_BYTES:,}, the member"
            )
        if not block.startswith(_LOCAL_MARK):
            raise ItemError(
                ItemErrorCode.BAD_CHECKSUM, f"expected a ZIP member at byte {member.offset:,}, found something else"
            )
        start = _LOCAL_BYTES + sum(_LOCAL_LENGTHS.unpack_from(block, 26))
        end = start + member.packed_size
        if end > len(block):
            block += read_member_range(self._access, member, member.offset + len(block), end - len(block))
        if end > len(block):
            raise ItemError(ItemErrorCode.TRUNCATED, f"the archive ends {end - len(block):,} bytes before the member does")
        return block[start:end]

    def close(self) -> None:
        """Release the file."""
        self._access.close()


@cache
def _supports(method: int) -> bool:
    return inflate.supports(method)


def _is_folder(entry: Entry, name: str) -> bool:
    """Folders as Unix and Windows tools mark them, where the name does not end with a slash."""
    return entry.size == 0 and (name.endswith("\\") or stat.S_ISDIR(entry.attributes >> 16) or bool(entry.attributes & 0x10))


def _decode_name(entry: Entry) -> str:
    """UTF-8 where flagged, else code page 437 (APPNOTE, appendix D), unless an Info-ZIP Unicode Path field matches the name.

    Bytes that are no UTF-8 despite the flag survive as surrogate escapes.
    """
    if entry.flags & _FLAG_UTF8:
        return entry.name.decode("utf-8", "surrogateescape")
    field = extra_field(entry.extra, _EXTRA_UNICODE_PATH) if entry.extra else b""
    if len(field) > 5 and field[0] == 1 and int.from_bytes(field[1:5], "little") == zlib.crc32(entry.name):
        return field[5:].decode("utf-8", "surrogateescape")
    return entry.name.decode("cp437")
