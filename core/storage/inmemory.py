"""Bytes that are in memory already, read as an object of the storage is."""

from __future__ import annotations


class InMemory:
    """A RandomAccess over bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def size(self) -> int:
        """Total bytes."""
        return len(self._data)

    def read_at(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`; fewer only at the end."""
        return self._data[offset : offset + length]

    def close(self) -> None:
        """Nothing is held."""
