"""Where an archive's bytes lie: DermQ's own storage, a path on the server, a foreign s3:// URI."""

from __future__ import annotations

from pathlib import Path

from core.archives.allowlist import Where, allowed_root, check_place
from core.archives.beneath import open_below
from core.archives.ranges import ReadAhead
from core.settings import Settings
from core.storage.base import ObjectStorage, RandomAccess
from core.storage.denied import as_source
from core.storage.factory import open_bucket, split_bucket_uri
from core.storage.local import LocalFile


class SourceObject:
    """An object of a foreign bucket, whose refusals are those of a job's source."""

    def __init__(self, access: RandomAccess) -> None:
        self._access = access

    @property
    def size(self) -> int:
        """Total bytes."""
        return self._access.size

    def read_at(self, offset: int, length: int) -> bytes:
        """As of any RandomAccess; raises SourceDeniedError besides."""
        with as_source():
            return self._access.read_at(offset, length)

    def close(self) -> None:
        """Release the handle."""
        self._access.close()


def open_source(where: Where, location: str, storage: ObjectStorage, settings: Settings) -> RandomAccess:
    """Open one file for reading by range, with read-ahead where it lies behind a network.

    A path was free of links when it was submitted: a link that stands there now has replaced something, and is not followed.

    Raises:
        ForbiddenSourceError: the operator does not allow it (any more).
        NotFoundError: it is not there.
        StorageUnavailableError: its place does not answer.
    """
    check_place(where, location, settings.api)
    access: RandomAccess
    if where == "path":
        root = allowed_root(Path(location), settings.api)
        return LocalFile(Path(location), opener=lambda path, flags: open_below(root, path, flags))
    if where == "s3":
        bucket, key = split_bucket_uri(location)
        with as_source():
            access = SourceObject(open_bucket(bucket, "", settings.storage).open(key))
    else:
        access = storage.open(location)
    return access if isinstance(access, LocalFile) else ReadAhead(access)
