"""Archives and their indexes, kept open from one chunk of a job to the next."""

from __future__ import annotations

import uuid
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

from core.archives.base import Archive, ArchiveRef, Member
from core.archives.open import open_archive
from core.db.chunks import Claim
from core.errors import JobError, JobErrorCode
from core.settings import Settings
from core.storage.base import ObjectStorage, RandomAccess
from core.storage.layout import index_key

KEPT_OPEN = 4  # jobs that one worker process alternates between without opening them again


@dataclass
class OpenJob:
    """A job's archive and index, open for reading."""

    archive: Archive
    index: RandomAccess

    def members(self, claim: Claim) -> Iterator[tuple[int, Member]]:
        """The chunk's items with their members, read from its slice of the index alone.

        Raises:
            JobError: the index is cut off (`archive_gone`).
        """
        data = self.index.read_at(claim.index_offset, claim.index_length)
        if len(data) < claim.index_length:
            raise JobError(
                JobErrorCode.ARCHIVE_GONE,
                f"the job's list of images in the storage is cut off: expected {claim.index_length} bytes from "
                f"{claim.index_offset} on, got {len(data)}. Its rows so far stay; restore {index_key(claim.job_id)}, or submit "
                "the archive again",
            )
        lines = data.splitlines()
        chosen = [lines[number - claim.index_first_item] for number in claim.item_numbers]
        yield from zip(claim.item_numbers, Member.from_lines(chosen), strict=True)

    def close(self) -> None:
        self.archive.close()
        self.index.close()


class ArchiveCache:
    """The last few jobs' archives. Not thread-safe: one per process."""

    def __init__(self, storage: ObjectStorage, settings: Settings) -> None:
        self._storage = storage
        self._settings = settings
        self._open: OrderedDict[uuid.UUID, OpenJob] = OrderedDict()

    def get(self, claim: Claim) -> OpenJob:
        """Open the claim's archive, or hand out the one that is open.

        Raises:
            NotFoundError: archive or index is gone.
            ArchiveError: it can no longer be read.
            StorageUnavailableError: the storage does not answer.
        """
        job = self._open.pop(claim.job_id, None)
        if job is None:
            index = self._storage.open(index_key(claim.job_id))
            try:
                archive = open_archive(ArchiveRef.from_json(claim.archive), self._storage, self._settings)
            except BaseException:
                index.close()
                raise
            job = OpenJob(archive, index)
            while len(self._open) >= KEPT_OPEN:
                self._open.popitem(last=False)[1].close()
        self._open[claim.job_id] = job
        return job

    def forget(self, job_id: uuid.UUID) -> None:
        """Close a job's handles: the next chunk opens them anew."""
        job = self._open.pop(job_id, None)
        if job is not None:
            job.close()

    def close(self) -> None:
        while self._open:
            self._open.popitem()[1].close()
