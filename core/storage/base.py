"""Ports of the object storage. `local.py` and `s3.py` implement them; both pass one contract test."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One stored object: its key (or path relative to a root) and its size in bytes."""

    key: str
    size: int


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What was written: key, size in bytes, SHA-256 in hex."""

    key: str
    size: int
    sha256: str


class RandomAccess(Protocol):
    """Bytes that are read by range. Safe to use from one thread at a time."""

    @property
    def size(self) -> int:
        """Total bytes."""
        ...

    def read_at(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`; fewer only at the end.

        Raises:
            NotFoundError: the object is gone.
            StorageUnavailableError: the storage does not answer.
        """
        ...

    def close(self) -> None:
        """Release the handle."""
        ...


class ObjectWriter(Protocol):
    """A streaming write of constant memory. Nothing is visible under the key before commit()."""

    def write(self, data: bytes) -> None:
        """Append bytes."""
        ...

    def commit(self) -> StoredObject:
        """Make the object visible, durably and whole."""
        ...

    def abort(self) -> None:
        """Leave no trace. Does nothing after commit()."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Abort unless committed."""
        ...


class ObjectStorage(Protocol):
    """Keys are relative POSIX paths chosen by DermQ itself, never a user's file names."""

    def writer(self, key: str) -> ObjectWriter:
        """Start a streaming write that replaces what is under the key."""
        ...

    def open(self, key: str) -> RandomAccess:
        """Open for reading by range.

        Raises:
            NotFoundError: no such object.
        """
        ...

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Objects whose key starts with `prefix`, in key order, in constant memory."""
        ...

    def delete(self, key: str) -> None:
        """Remove one object; a missing one is no error."""
        ...

    def delete_prefix(self, prefix: str) -> int:
        """Remove all objects below a prefix; returns how many."""
        ...

    def remove_orphans(self) -> int:
        """Remove what killed writers left unfinished; returns how many. Safe beside running writers."""
        ...

    def check(self) -> None:
        """Raise StorageUnavailableError unless the storage can be reached and written."""
        ...
