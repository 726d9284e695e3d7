"""What an archive is to DermQ: an ordered stream of members, each read at random later, none ever extracted by its name.

`prepare` walks `members()` once, in constant memory, and writes each Member as a line of the job's index; `classify` reads its
own slice of that index and then only those members' bytes. So a chunk of a million-member archive costs what a chunk of a small
one does.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from json.encoder import encode_basestring_ascii
from typing import Literal, Protocol, Self

from core.archives.notes import Notes
from core.errors import ItemErrorCode


class ArchiveKind(StrEnum):
    """How the members are laid out."""

    ZIP = "zip"
    TAR = "tar"  # plain: compressed tars are made plain once, at prepare
    FOLDER = "folder"
    S3_PREFIX = "s3_prefix"
    SINGLE = "single"  # one image
    MANIFEST = "manifest"  # CSV of paths under a root folder or S3 prefix


@dataclass(frozen=True, slots=True)
class Member:
    """One member, with all that is needed to read it without listing the archive again.

    A member with `error` set is known to be unreadable from the listing alone: it becomes a failed row, unread.
    """

    name: str  # exactly as in the archive
    offset: int = 0  # ZIP: local header; TAR: first data byte; else 0
    packed_size: int = 0  # bytes in the archive
    size: int = 0  # bytes uncompressed, as declared
    method: int = 0  # ZIP compression method; 0 = stored
    crc32: int | None = None
    error: ItemErrorCode | None = None
    error_text: str = ""
    stored_name: str | None = None  # ZIP: the directory's bytes as Latin-1, where they are not the name's UTF-8
    place: str = ""  # MANIFEST: the file, relative to the root, that the table's `name` means
    metadata: dict[str, str] = field(default_factory=dict, hash=False)  # MANIFEST: the row's other cells, by column

    @property
    def raw_name(self) -> bytes:
        """ZIP: the name's bytes in the directory."""
        if self.stored_name is not None:
            return self.stored_name.encode("latin-1")
        return self.name.encode("utf-8", "surrogateescape")

    def to_line(self) -> bytes:
        """One JSON array and a newline; non-UTF-8 names survive as surrogate escapes (ASCII-only JSON).

        What few members have stands behind the rest and is left out elsewhere, so that the previous release reads it.
        """
        if self.error is None and not (self.error_text or self.place or self.metadata) and self.stored_name is None:
            crc32 = "null" if self.crc32 is None else self.crc32  # nearly all: written without an encoder for each
            numbers = f"{self.offset},{self.packed_size},{self.size},{self.method},{crc32}"
            return f'[{encode_basestring_ascii(self.name)},{numbers},null,""]\n'.encode()
        fields: list[object] = [self.name, self.offset, self.packed_size, self.size, self.method, self.crc32]
        fields += [self.error, self.error_text]
        of_table = [self.place, self.metadata] if self.place or self.metadata else []
        if of_table or self.stored_name is not None:
            fields += [self.stored_name, *of_table]
        return json.dumps(fields, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Self:
        """The inverse of `to_line`."""
        return cls.from_lines([line])[0]

    @classmethod
    def from_lines(cls, lines: Sequence[bytes]) -> list[Self]:
        """As `from_line`, of many in one call of the parser."""
        return [
            cls(name, offset, packed_size, size, method, crc32, ItemErrorCode(error) if error else None, error_text, *more)
            for name, offset, packed_size, size, method, crc32, error, error_text, *more in json.loads(
                b"[%b]" % b",".join(lines)
            )
        ]


@dataclass(frozen=True, slots=True)
class ArchiveRef:
    """Where an archive lies and how it is laid out; stored with the job as JSON, so that any worker can open it."""

    kind: ArchiveKind
    where: Literal["storage", "path", "s3"]  # DermQ's own object storage, a path on the server, a foreign s3:// URI
    location: str  # storage key, absolute path, or s3://bucket/prefix
    name: str = ""  # file name as the user gave it (the only member's name for SINGLE)
    root: str = ""  # MANIFEST: folder or s3:// prefix that its paths are relative to
    path_column: str = ""  # MANIFEST: the column that names the images; empty to find it

    def to_json(self) -> dict[str, str]:
        value = {"kind": self.kind, "where": self.where, "location": self.location, "name": self.name, "root": self.root}
        return value | {"path_column": self.path_column} if self.path_column else value

    @classmethod
    def from_json(cls, value: dict[str, str]) -> Self:
        kind, column = ArchiveKind(value["kind"]), value.get("path_column", "")
        return cls(kind, value["where"], value["location"], value["name"], value["root"], column)  # type: ignore[arg-type]


class Archive(Protocol):
    """Random access to members. Use from one thread at a time; close when done."""

    @property
    def skipped(self) -> int:
        """Directories, __MACOSX, .DS_Store, Thumbs.db and the like passed over by members() so far."""
        ...

    @property
    def notes(self) -> Notes:
        """What the user should know of the archive as a whole, as far as members() has come; see notes.py."""
        ...

    def members(self) -> Iterator[Member]:
        """All members in archive order, skipped ones left out, in constant memory.

        Raises:
            ArchiveError: the archive itself is unreadable.
        """
        ...

    def read(self, member: Member) -> bytes:
        """The member's bytes, whole, checked against its checksum where it has one.

        Raises:
            ItemError: encrypted, too large, damaged, gone, …
            StorageUnavailableError: the bytes cannot be reached now.
        """
        ...

    def close(self) -> None: ...
