"""A ZIP of stored members, written in one pass: what a .7z becomes, so that each member can be read by itself.

For DermQ's own storage. Local headers leave sizes and CRC-32 open (bit 3), as they may be known only afterwards.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from core.storage.base import ObjectWriter

_FLAG_DESCRIPTOR, _FLAG_UTF8, FLAG_ENCRYPTED = 0x0008, 0x0800, 0x0001
_FULL16, _FULL32 = 0xFFFF, 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """What the directory says of one member. `stored`: bytes written of it; fewer than `size` fail it when it is read."""

    name: bytes  # UTF-8, as far as it goes
    size: int
    stored: int
    crc32: int
    mode: int  # Unix file type and permissions
    method: int = 0
    encrypted: bool = False


class StoredZipWriter:
    """Begin a member, write its bytes, then add its entry; finish once."""

    def __init__(self, writer: ObjectWriter) -> None:
        self._writer = writer
        self._position = 0
        self._start = 0
        self._directory = bytearray()
        self._count = 0

    def begin(self, name: bytes) -> None:
        """Write a local header."""
        self._start = self._position
        flags = _FLAG_DESCRIPTOR | _FLAG_UTF8
        self._write(struct.pack("<4s5H3L2H", b"PK\3\4", 45, flags, 0, 0, 0x21, 0, 0, 0, len(name), 0) + name)

    def write(self, data: bytes) -> None:
        """Bytes of the member begun last."""
        self._write(data)

    def add(self, entry: StoredEntry) -> None:
        """Put the member begun last into the directory."""
        flags = _FLAG_DESCRIPTOR | _FLAG_UTF8 | (FLAG_ENCRYPTED if entry.encrypted else 0)
        wide = struct.pack("<HHQQQ", 1, 24, entry.size, entry.stored, self._start)
        self._directory += struct.pack("<4s4B4H", b"PK\1\2", 45, 3, 45, 0, flags, entry.method, 0, 0x21)
        self._directory += struct.pack("<3L5H", entry.crc32, _FULL32, _FULL32, len(entry.name), len(wide), 0, 0, 0)
        self._directory += struct.pack("<2L", entry.mode << 16, _FULL32) + entry.name + wide
        self._count += 1

    def finish(self) -> None:
        """Write the directory; the caller commits."""
        start, size = self._position, len(self._directory)
        self._write(bytes(self._directory))
        counts = (self._count, self._count)
        self._write(struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, *counts, size, start))
        self._write(struct.pack("<4sLQL", b"PK\6\7", 0, start + size, 1))
        self._write(struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, _FULL16, _FULL16, _FULL32, _FULL32, 0))

    def _write(self, data: bytes) -> None:
        self._writer.write(data)
        self._position += len(data)
