"""One image, as an archive of one member."""

from __future__ import annotations

from collections.abc import Iterator

from core.archives.base import Member
from core.archives.notes import Notes
from core.archives.ranges import read_member_range
from core.archives.screening import size_problem
from core.errors import ItemError
from core.storage.base import RandomAccess


class SingleImage:
    """The whole file is the only member."""

    def __init__(self, access: RandomAccess, name: str, max_bytes: int) -> None:
        """Reads nothing yet.

        Args:
            access: the file; closed with the archive.
            name: the member's name.
            max_bytes: limit for the file.
        """
        self._access = access
        self._name = name
        self._max_bytes = max_bytes
        self._notes = Notes()

    @property
    def skipped(self) -> int:
        """Always 0."""
        return 0

    @property
    def notes(self) -> Notes:
        """What members() has found worth a note so far."""
        return self._notes

    def members(self) -> Iterator[Member]:
        """The one member."""
        size = self._access.size
        code, text = size_problem(size, self._max_bytes) or (None, "")
        yield Member(self._name, packed_size=size, size=size, error=code, error_text=text)

    def read(self, member: Member) -> bytes:
        """The file's bytes.

        Raises:
            ItemError: empty, too large or gone.
            StorageUnavailableError: the bytes cannot be reached now.
        """
        if problem := size_problem(self._access.size, self._max_bytes):
            raise ItemError(*problem)
        return read_member_range(self._access, member, 0, self._access.size)

    def close(self) -> None:
        """Release the file."""
        self._access.close()
