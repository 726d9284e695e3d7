"""How many processes list large archives at once: all but one, so that the jobs that come meanwhile find a process.

To list a million files, or to rewrite a compressed TAR, takes a process for minutes. Small archives are listed at once,
whatever else is being listed.
"""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from core.db.engine import reading
from core.db.preparing import PrepareClaim, count_listed_before
from core.db.processes import count_heard
from core.errors import NotFoundError, StorageUnavailableError, TransientError
from core.storage.base import ObjectStorage
from worker.context import WorkerContext

LARGE_BYTES = 64 * 1024 * 1024  # of an archive: up to that it is listed within seconds
LARGE_ENTRIES = 10_000  # of a folder


class ProcessesBusyError(TransientError):
    """As many processes list large archives as may."""

    waits_for = "worker"


def leave_one_free(context: WorkerContext, claim: PrepareClaim) -> None:
    """Let a large archive wait while all processes but one have begun to list others.

    Raises:
        ProcessesBusyError: they have. A process alone lists whatever comes.
    """
    if not is_large(claim.source, context.storage):
        return
    now = context.clock.now()
    with reading(context.engine) as session:
        processes, _ = count_heard(session, now - timedelta(seconds=context.settings.worker.lease_s))
        others = count_listed_before(session, claim)
    if processes > 1 and others >= processes - 1:
        raise ProcessesBusyError(f"{others} of {processes} processes list other archives, and one is left to small jobs")


def is_large(source: dict[str, Any], storage: ObjectStorage) -> bool:
    """Whether it may take long to list a source. What cannot be looked at is not: listing it says what is wrong.

    Args:
        source: as core.archives.detect takes it. Uploads and paths are looked at.
        storage: where uploads are.
    """
    match source.get("kind"):
        case "upload":
            with suppress(NotFoundError, StorageUnavailableError):
                file = storage.open(str(source["key"]))
                try:
                    return file.size > LARGE_BYTES
                finally:
                    file.close()
        case "path":
            with suppress(OSError):
                return _is_large_path(Path(str(source["path"])))
    return False


def _is_large_path(path: Path) -> bool:
    if not path.is_dir():
        return path.stat().st_size > LARGE_BYTES
    entries = (name for _, _, names in os.walk(path) for name in names)
    return len(list(islice(entries, LARGE_ENTRIES + 1))) > LARGE_ENTRIES
