"""Where an archive's bytes lie: DermQ's own storage, a path on the server, a foreign s3:// URI."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from core.archives.ranges import ReadAhead
from core.settings import StorageSettings
from core.storage.base import ObjectStorage, RandomAccess
from core.storage.factory import open_s3, split_s3_uri
from core.storage.local import LocalFile

Where = Literal["storage", "path", "s3"]


def open_source(where: Where, location: str, storage: ObjectStorage, settings: StorageSettings) -> RandomAccess:
    """Open one file for reading by range, with read-ahead where it lies behind a network.

    Raises:
        NotFoundError: it is not there.
        StorageUnavailableError: its place does not answer.
    """
    access: RandomAccess
    if where == "path":
        return LocalFile(Path(location), follow_link=False)  # resolved at prepare: a link is a replacement
    if where == "s3":
        bucket, key = split_s3_uri(location)
        access = open_s3(bucket, "", settings).open(key)
    else:
        access = storage.open(location)
    return access if isinstance(access, LocalFile) else ReadAhead(access)
