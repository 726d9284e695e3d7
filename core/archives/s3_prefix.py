"""The objects below a foreign s3://bucket/prefix, each read by one request."""

from __future__ import annotations

from collections.abc import Iterator

from core.archives.base import Member
from core.archives.notes import Notes
from core.archives.screening import size_problem
from core.archives.skipping import is_skipped
from core.errors import ArchiveError, InvalidRequestError, ItemError, ItemErrorCode, NotFoundError
from core.settings import StorageSettings
from core.storage.factory import open_s3, split_s3_uri


class S3Objects:
    """Whole objects by name relative to a prefix."""

    def __init__(self, uri: str, settings: StorageSettings) -> None:
        bucket, prefix = split_s3_uri(uri)
        self._uri = uri
        self._storage = open_s3(bucket, prefix, settings)

    def list(self) -> Iterator[tuple[str, int]]:
        """(name, size in bytes) of each object, in key order; a folder marker is (name + "/", 0).

        Raises:
            ArchiveError: no such bucket, or it holds a key that cannot be named.
            StorageUnavailableError: the server does not answer.
        """
        try:
            for info in self._storage.list(""):
                # Consoles mark a folder by an empty object whose key ends with a slash, and object_store drops that slash.
                marker = info.size == 0 and not self._storage.exists(info.key)
                yield (info.key + "/" if marker else info.key), info.size
        except (NotFoundError, InvalidRequestError) as error:
            raise ArchiveError(f"{self._uri}: cannot be listed: {error}") from error

    def read(self, name: str, max_bytes: int) -> bytes:
        """An object's bytes, whole.

        Raises:
            ItemError: NOT_FOUND, TOO_LARGE, EMPTY.
            StorageUnavailableError: the server does not answer.
        """
        try:
            data = self._storage.read_whole(name, max_bytes + 1)
        except (NotFoundError, InvalidRequestError) as error:
            raise ItemError(ItemErrorCode.NOT_FOUND, str(error)) from error
        if problem := size_problem(len(data), max_bytes):
            raise ItemError(*problem)
        return data


class S3PrefixArchive:
    """All objects below a prefix; names are relative to it."""

    def __init__(self, uri: str, settings: StorageSettings, max_bytes: int) -> None:
        """Contacts nothing yet.

        Args:
            uri: s3://bucket/prefix.
            settings: endpoint, credentials and timeouts.
            max_bytes: limit for one object.
        """
        self._objects = S3Objects(uri, settings)
        self._max_bytes = max_bytes
        self._skipped = 0
        self._notes = Notes()

    @property
    def skipped(self) -> int:
        """Objects passed over by members() so far."""
        return self._skipped

    @property
    def notes(self) -> Notes:
        """What members() has found worth a note so far."""
        return self._notes

    def members(self) -> Iterator[Member]:
        """All objects in key order, a page of a thousand at a time.

        Raises:
            ArchiveError: no such bucket, or it holds a key that cannot be named.
            StorageUnavailableError: the server does not answer.
        """
        self._skipped = 0
        self._notes.clear()
        for name, size in self._objects.list():
            if is_skipped(name):
                self._skipped += 1
                continue
            code, text = size_problem(size, self._max_bytes) or (None, "")
            yield Member(name, packed_size=size, size=size, error=code, error_text=text)

    def read(self, member: Member) -> bytes:
        """The object's bytes as they are now.

        Raises:
            ItemError: what the listing already knew, or gone, grown too large, empty.
            StorageUnavailableError: the server does not answer.
        """
        if member.error is not None:
            raise ItemError(member.error, member.error_text)
        return self._objects.read(member.name, self._max_bytes)

    def close(self) -> None:
        """Nothing is held."""
