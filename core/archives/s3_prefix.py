"""The objects below a foreign s3://bucket/prefix (or gs://, az://), each read by one request."""

from __future__ import annotations

import re
from collections.abc import Iterator

from core.archives.base import Member
from core.archives.notes import ArchiveNote, Notes
from core.archives.screening import Problem, size_problem
from core.archives.skipping import is_skipped
from core.errors import ArchiveError, InvalidRequestError, ItemError, ItemErrorCode, JobErrorCode, NotFoundError
from core.settings import StorageSettings
from core.storage.denied import as_source
from core.storage.factory import open_bucket, split_bucket_uri

_CONTROL = re.compile(r"[\x00-\x1f\x7f\udc80-\udcff]")


class S3Objects:
    """Whole objects by name relative to a prefix."""

    def __init__(self, uri: str, settings: StorageSettings) -> None:
        self._bucket, self._prefix = split_bucket_uri(uri)
        self._uri = uri
        self._settings = settings
        self._storage = open_bucket(self._bucket, self._prefix, settings)

    def list(self) -> Iterator[tuple[str, int]]:
        """(name, size in bytes) of each object, in key order; a folder marker is (name + "/", 0).

        Raises:
            ArchiveError: no such bucket; or a key that object_store refuses, and credentials that only object_store finds.
            StorageUnavailableError: the server does not answer.
        """
        with as_source():
            yield from self._list()

    def _list(self) -> Iterator[tuple[str, int]]:
        last = ""
        try:
            for info in self._storage.list(""):
                # Consoles mark a folder by an empty object whose key ends with a slash, and object_store drops that slash.
                marker = info.size == 0 and not self._storage.exists(info.key)
                last = info.key + "/" if marker else info.key
                yield last, info.size
        except NotFoundError as error:
            raise ArchiveError(f"{self._uri}: cannot be listed: {error}", code=JobErrorCode.ARCHIVE_GONE) from error
        except InvalidRequestError as error:  # one odd key, and object_store refuses the whole page
            yield from self._list_on(last, error)

    def _list_on(self, last: str, refused: InvalidRequestError) -> Iterator[tuple[str, int]]:
        from core.storage.s3_listing import find_credentials, list_keys  # noqa: PLC0415 - hardly ever needed

        scheme, _, bucket = self._bucket.partition("://")
        credentials = find_credentials(self._settings) if scheme == "s3" else None
        if credentials is None:
            raise ArchiveError(f"{self._uri}: cannot be listed: {refused}; rename that object") from refused
        folder = f"{self._prefix}/" if self._prefix else ""
        start_after = folder + last if last else ""
        try:
            for key, size in list_keys(bucket, folder, start_after, self._settings, credentials):
                yield key[len(folder) :], size
        except NotFoundError as error:
            raise ArchiveError(f"{self._uri}: cannot be listed: {error}", code=JobErrorCode.ARCHIVE_GONE) from error

    def read(self, name: str, max_bytes: int) -> bytes:
        """An object's bytes, whole.

        Raises:
            ItemError: NOT_FOUND, TOO_LARGE, EMPTY.
            StorageUnavailableError: the server does not answer.
        """
        try:
            with as_source():
                data = self._storage.read_whole(name, max_bytes + 1)
        except (NotFoundError, InvalidRequestError) as error:
            raise ItemError(ItemErrorCode.NOT_FOUND, str(error)) from error
        if problem := size_problem(len(data), max_bytes):
            raise ItemError(*problem)
        return data


class S3PrefixArchive:
    """All objects below a prefix; names are relative to it."""

    reads_in_parallel = True  # each object is a request of its own

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
            ArchiveError: no such bucket.
            StorageUnavailableError: the server does not answer.
        """
        self._skipped = 0
        self._notes.clear()
        for name, size in self._objects.list():
            if is_skipped(name) and (size == 0 or not name.endswith("/")):
                self._skipped += 1
                self._notes.add(ArchiveNote.ENTRIES_SKIPPED, 0 if name.endswith("/") else 1, name)
                continue
            code, text = _key_problem(name) or size_problem(size, self._max_bytes) or (None, "")
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


def _key_problem(name: str) -> Problem | None:
    """Keys that object_store cannot name: with empty, '.' or '..' parts, or with control characters."""
    if not any(part in ("", ".", "..") for part in name.split("/")) and not _CONTROL.search(name):
        return None
    text = "the object's key has an empty, '.' or '..' part or a control character and cannot be read: rename the object"
    return ItemErrorCode.UNSAFE_PATH, text
