"""Archives in memory for tests: bytes read by range, and ZIP files written field by field where zipfile is too honest."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from core.archives.base import Archive, Member
from core.errors import ItemError, ItemErrorCode


class BytesAccess:
    """RandomAccess over bytes; counts requests."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.requests: list[tuple[int, int]] = []

    @property
    def size(self) -> int:
        return len(self.data)

    @property
    def bytes_read(self) -> int:
        """Sum over all requests; what was read twice counts twice."""
        return sum(max(0, min(length, self.size - offset)) for offset, length in self.requests if offset >= 0)

    def read_at(self, offset: int, length: int) -> bytes:
        assert offset >= 0
        assert length >= 0
        self.requests.append((offset, length))
        return self.data[offset : offset + length]

    def close(self) -> None:
        self.requests.append((-1, -1))


@dataclass
class RawEntry:
    """One ZIP member, with every field free to lie. None: the truth."""

    name: bytes
    data: bytes = b"data"
    method: int = 8
    flags: int = 0
    size: int | None = None
    crc32: int | None = None
    packed_size: int | None = None
    attributes: int = 0
    extra: bytes = b""
    local_extra: bytes = b""
    offset: int | None = None
    host: int = 3

    @property
    def packed(self) -> bytes:
        if self.method != 8:
            return self.data
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        return packer.compress(self.data) + packer.flush()


def raw_zip(entries: Iterable[RawEntry], *, count: int | None = None, comment: bytes = b"", zip64: bool = False) -> bytes:
    """A ZIP file of these entries (APPNOTE 4.3), with a ZIP64 end record if asked for."""
    body, directory, number = bytearray(), bytearray(), 0
    for entry in entries:
        number += 1
        packed = entry.packed
        crc32 = zlib.crc32(entry.data) if entry.crc32 is None else entry.crc32
        size = len(entry.data) if entry.size is None else entry.size
        packed_size = len(packed) if entry.packed_size is None else entry.packed_size
        offset = len(body) if entry.offset is None else entry.offset
        common = struct.pack("<HHHHHLLL", 20, entry.flags, entry.method, 0, 0x21, crc32, packed_size, size)
        body += b"PK\3\4" + common + struct.pack("<HH", len(entry.name), len(entry.local_extra))
        body += entry.name + entry.local_extra + packed
        directory += b"PK\1\2" + struct.pack("<H", entry.host << 8 | 20) + common
        directory += struct.pack("<HHHHHLL", len(entry.name), len(entry.extra), 0, 0, 0, entry.attributes, offset)
        directory += entry.name + entry.extra
    number = number if count is None else count
    return bytes(body + directory) + end_records(number, len(directory), len(body), comment, zip64=zip64)


def end_records(count: int, size: int, offset: int, comment: bytes = b"", *, zip64: bool = False) -> bytes:
    """The records that end a ZIP file."""
    if not zip64:
        return struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, size, offset, len(comment)) + comment
    full = 0xFFFFFFFF
    return (
        struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, offset)
        + struct.pack("<4sLQL", b"PK\6\7", 0, offset + size, 1)
        + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, full, full, len(comment))
        + comment
    )


def honest_zip(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A ZIP file as Python's zipfile writes it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def outcome(archive: Archive, member: Member) -> bytes | ItemErrorCode:
    """The member's bytes, or the code of its failure."""
    try:
        return archive.read(member)
    except ItemError as error:
        if not str(error):
            raise AssertionError(f"expected {error.code} to come with a text for people") from error
        return error.code


def outcomes(archive: Archive) -> dict[str, bytes | ItemErrorCode]:
    """name → bytes or code, for all members."""
    return {member.name: outcome(archive, member) for member in archive.members()}
