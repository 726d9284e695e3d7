"""Reading archives by range: coded failures for members, and few requests where each one costs a round trip."""

from __future__ import annotations

from core.archives.base import Member
from core.errors import ItemError, ItemErrorCode, NotFoundError
from core.storage.base import RandomAccess

_FIRST_WINDOW = 256 * 1024
_LAST_WINDOW = 8 * 1024 * 1024
_NEAR = 1024 * 1024  # bytes skipped for which reading on is cheaper than asking again
_OVERLAP = 64 * 1024


def read_member_range(access: RandomAccess, member: Member, offset: int, length: int) -> bytes:
    """Up to `length` bytes of a member from `offset` of its archive.

    Raises:
        ItemError: NOT_FOUND, the archive is gone.
        StorageUnavailableError: the bytes cannot be reached now.
    """
    try:
        return access.read_at(offset, length)
    except NotFoundError as error:
        raise ItemError(ItemErrorCode.NOT_FOUND, f"{member.name!r}: the archive is gone: {error}") from error


class ReadAhead:
    """Reads on where reads are neighbours, as a kernel does for files: for bytes behind a network.

    A chunk's members lie side by side, and so do the headers of a TAR with small members: some large requests replace thousands
    of small ones. Reads far apart are passed on as they come. Holds at most 8 MiB beyond the longest read.
    """

    def __init__(self, access: RandomAccess) -> None:
        self._access = access
        self._start = 0
        self._buffer = b""
        self._last_end = -1
        self._window = 0

    @property
    def size(self) -> int:
        """Total bytes."""
        return self._access.size

    def read_at(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`; fewer only at the end."""
        length = min(length, self.size - offset)
        if offset < 0 or length <= 0:
            return b""
        known = self._start <= offset < self._start + len(self._buffer)
        if not known or offset + length > self._start + len(self._buffer):
            self._fetch(offset, length, known)
        self._last_end = offset + length
        return self._buffer[offset - self._start : offset - self._start + length]

    def _fetch(self, offset: int, length: int, known: bool) -> None:
        near = known or (self._last_end >= 0 and -_OVERLAP <= offset - self._last_end <= _NEAR)
        self._window = min(max(2 * self._window, _FIRST_WINDOW), _LAST_WINDOW) if near else 0
        kept = self._buffer[offset - self._start :] if known else b""
        self._buffer = b""  # before the next block comes, so that never two are held
        self._buffer = kept + self._access.read_at(offset + len(kept), max(length - len(kept), self._window))
        self._start = offset

    def close(self) -> None:
        """Release the handle and the buffer."""
        self._buffer = b""
        self._access.close()
