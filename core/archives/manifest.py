"""A CSV of paths: one row per image, read from below a root folder or s3:// prefix."""

from __future__ import annotations

import codecs
import csv
import io
import posixpath
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

from core.archives.base import Member
from core.archives.beneath import RootFolder
from core.archives.notes import Notes
from core.archives.s3_prefix import S3Objects
from core.archives.screening import size_problem
from core.errors import ArchiveError, ItemError, ItemErrorCode
from core.storage.base import RandomAccess

# In order of preference; compared without case.
COLUMNS = ("path", "image", "filename", "image_id", "file", "image_path", "file_path", "filepath", "file_name", "image_name")
_DELIMITERS = ",;\t"
_MAX_LINE = 1024 * 1024  # characters
_READ_BYTES = 1024 * 1024
_FILE_LIKE = re.compile(r"\.[A-Za-z0-9]{2,5}\Z")
# For columns of identifiers, as in HAM10000's `image_id`.
_SUFFIXES = (".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG", ".tif", ".tiff", ".bmp", ".webp")


_DRIVE_OR_SCHEME = re.compile(r"[A-Za-z]:[/\\]|[A-Za-z][A-Za-z0-9+.-]*://")
_T = TypeVar("_T")


class _Root(Protocol):
    """Where a manifest's files lie."""

    def size(self, relative: str) -> int: ...

    def read(self, relative: str, max_bytes: int) -> bytes: ...

    def close(self) -> None: ...


class S3Root:
    """Files below an s3:// prefix. Sizes are not asked for: that would cost a request per row."""

    def __init__(self, objects: S3Objects) -> None:
        self._objects = objects

    def size(self, relative: str) -> int:  # noqa: ARG002 - as its sibling
        """-1: unknown until it is read."""
        return -1

    def read(self, relative: str, max_bytes: int) -> bytes:
        """The object's bytes; errors as in S3Objects.read."""
        return self._objects.read(relative, max_bytes)

    def close(self) -> None:
        """Nothing is held."""


class ManifestArchive:
    """The files that a CSV names, in its order; names exactly as they stand there."""

    def __init__(self, access: RandomAccess, root: str, files: RootFolder | S3Root, max_bytes: int) -> None:
        """Reads nothing yet.

        Args:
            access: the CSV; closed with the archive.
            root: absolute folder or s3:// prefix that relative paths count from and that no path may leave.
            files: reads below that root; closed with the archive.
            max_bytes: limit for one file.
        """
        self._access = access
        self._root = root.rstrip("/")
        self._files: _Root = files
        self._max_bytes = max_bytes
        self._skipped = 0
        self._notes = Notes()

    @property
    def skipped(self) -> int:
        """Rows without a path passed over by members() so far."""
        return self._skipped

    @property
    def notes(self) -> Notes:
        """What members() has found worth a note so far."""
        return self._notes

    def members(self) -> Iterator[Member]:
        """One member per row, in constant memory.

        Raises:
            ArchiveError: no CSV, or no column that names files.
            StorageUnavailableError: the file system does not answer.
        """
        self._skipped = 0
        self._notes.clear()
        for name in read_paths(self._access):
            if name.strip():
                yield self._member(name)
            else:
                self._skipped += 1

    def _member(self, name: str) -> Member:
        try:
            size = self._first(name, self._files.size)
        except ItemError as error:
            return Member(name, error=error.code, error_text=str(error))
        code, text = size_problem(size, self._max_bytes) or (None, "")
        return Member(name, packed_size=max(size, 0), size=max(size, 0), error=code, error_text=text)

    def _first(self, name: str, ask: Callable[[str], _T]) -> _T:
        """The first answer among the places that the name may mean; the first failure if there is none."""
        failure: ItemError | None = None
        for place in self._places(name):
            try:
                return ask(place)
            except ItemError as error:
                if error.code is not ItemErrorCode.NOT_FOUND:
                    raise
                failure = failure or error
        raise failure or ItemError(ItemErrorCode.UNSAFE_PATH, f"expected a path below {self._root}, got one that leads outside")

    def _places(self, name: str) -> Iterator[str]:
        place = self._below_root(name.strip())
        if place is None and "\\" in name:
            place = self._below_root(name.strip().replace("\\", "/"))
        if place is None:
            return
        yield place
        if "\\" in place:  # written on Windows
            yield place.replace("\\", "/")
        if not _FILE_LIKE.search(place):
            yield from (place + suffix for suffix in _SUFFIXES)

    def _below_root(self, path: str) -> str | None:
        """The path relative to the root, None if it leads outside. Links are no matter here: they are never followed."""
        if path.startswith(self._root + "/"):
            path = path[len(self._root) + 1 :]
        if _DRIVE_OR_SCHEME.match(path) or path.startswith("/") or "\0" in path:
            return None
        place = posixpath.normpath(path)
        return None if place in (".", "..") or place.startswith("../") else place

    def read(self, member: Member) -> bytes:
        """The file's bytes as they are now.

        Raises:
            ItemError: what the listing already knew, or gone, outside the root, a link, too large, empty.
            StorageUnavailableError: the bytes cannot be reached now.
        """
        if member.error is not None:
            raise ItemError(member.error, member.error_text)
        return self._first(member.name, lambda place: self._files.read(place, self._max_bytes))

    def close(self) -> None:
        """Release the CSV and the root."""
        self._files.close()
        self._access.close()


def read_paths(access: RandomAccess) -> Iterator[str]:
    """The cells of the column that names files, one per row, in constant memory.

    Raises:
        ArchiveError: no text, no such column, a line without end, or quotes that never close.
    """
    lines = _lines(access)
    first = next(lines, "")
    delimiter = max(_DELIMITERS, key=first.count)
    rows = csv.reader(_chain(first, lines), delimiter=delimiter)
    try:
        header = next(rows, [])
        column = find_column(header)
        if column is None:
            raise ArchiveError(
                f"expected a CSV with a column {', '.join(COLUMNS[:4])}, got columns {', '.join(header)[:300]!r}"
            )
        if len(header) == 1 and _FILE_LIKE.search(header[0]):
            yield header[0]  # a plain list, without a header
        for row in rows:
            if row:
                yield row[column] if column < len(row) else ""
    except csv.Error as error:
        raise ArchiveError(f"damaged CSV near line {rows.line_num}: {error}") from error


def find_column(header: Sequence[str]) -> int | None:
    """The column that names files: a known name, or the only one."""
    names = [cell.strip().lower() for cell in header]
    for known in COLUMNS:
        if known in names:
            return names.index(known)
    return 0 if len(header) == 1 else None


def looks_like_manifest(head: bytes) -> bool:
    """Whether a file that begins with these bytes is text with a known column, or a plain list of file names."""
    text = decode_text(head)
    if text is None:
        return False
    rows = list(csv.reader(text.splitlines()[:2], delimiter=max(_DELIMITERS, key=text.partition("\n")[0].count)))
    header = rows[0] if rows else []
    column = find_column(header)
    if column is None:
        return False
    known = header[column].strip().lower() in COLUMNS
    return known or any(_FILE_LIKE.search(row[0].strip()) for row in rows if row)


def decode_text(head: bytes) -> str | None:
    """The bytes as text; None if they hold control characters that no text has."""
    if any(byte < 32 and byte not in b"\t\n\r\f" for byte in head):
        return None
    return head.removeprefix(codecs.BOM_UTF8).decode("utf-8", "surrogateescape")


def _chain(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _lines(access: RandomAccess) -> Iterator[str]:
    text = io.TextIOWrapper(
        io.BufferedReader(_RawReader(access), _READ_BYTES), encoding="utf-8-sig", errors="surrogateescape", newline=""
    )
    while line := text.readline(_MAX_LINE):
        if len(line) >= _MAX_LINE:
            raise ArchiveError(f"expected a CSV with lines of fewer than {_MAX_LINE:,} characters, got a longer one")
        if "\0" in line:
            raise ArchiveError("expected a CSV, got a file with NUL bytes: save it as UTF-8")
        yield line


class _RawReader(io.RawIOBase):
    """A RandomAccess as a file for the standard library; does not close it."""

    def __init__(self, access: RandomAccess) -> None:
        self._access = access
        self._position = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        data = self._access.read_at(self._position, len(buffer))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)
