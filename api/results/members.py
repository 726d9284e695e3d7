"""The bytes of items: out of a job's archive, by way of its index."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

from api.errors import OriginalGoneError
from api.resources import Resources
from core.archives.base import Archive, ArchiveRef, Member
from core.archives.open import open_archive
from core.db.engine import reading
from core.db.jobs import get_job
from core.db.results import IndexSlice, find_index_slice
from core.errors import ArchiveError, ItemError, JobErrorCode, NotFoundError
from core.storage.layout import index_key


def read_member(here: Resources, tenant_id: UUID, job_id: UUID, item_no: int) -> tuple[Member, bytes]:
    """A member and its bytes, checked against its checksum where it has one.

    Raises:
        NotFoundError: no such job or item.
        OriginalGoneError: its archive is gone.
        ForbiddenSourceError: the operator does not allow its source any more.
        ItemError: the member cannot be read.
        StorageUnavailableError: the storage does not answer.
    """
    [(_, found)] = read_members(here, tenant_id, job_id, [item_no])
    if isinstance(found, ItemError):
        raise found
    return found


def read_members(
    here: Resources, tenant_id: UUID, job_id: UUID, numbers: Sequence[int]
) -> Iterator[tuple[int, tuple[Member, bytes] | ItemError]]:
    """Several members, each with what became of it; the archive is opened once. Raises as `read_member`, but for ItemError."""
    with reading(here.engine) as session:
        job = get_job(session, tenant_id, job_id)
        slices = {number: find_index_slice(session, job_id, number) for number in numbers}
    if job.archive is None:
        raise NotFoundError(f"job {job_id} is {job.state}: its archive has not been listed yet")
    members = _read_index(here, job_id, slices)
    archive: Archive | None = None
    try:
        for number, member in members.items():
            if member.error is not None:
                yield number, ItemError(member.error, member.error_text)
                continue
            archive = archive or _open(here, job.archive)
            try:
                yield number, (member, archive.read(member))
            except ItemError as error:
                yield number, error
    finally:
        if archive is not None:
            archive.close()


def _read_index(here: Resources, job_id: UUID, slices: dict[int, IndexSlice]) -> dict[int, Member]:
    lines: dict[IndexSlice, list[bytes]] = {}
    index = here.storage.open(index_key(job_id))
    try:
        for place in slices.values():
            if place not in lines:
                lines[place] = index.read_at(place.offset, place.length).splitlines()
    finally:
        index.close()
    return {number: Member.from_line(lines[place][number - place.first_item]) for number, place in slices.items()}


def _open(here: Resources, archive: dict[str, Any]) -> Archive:
    try:
        return open_archive(ArchiveRef.from_json(archive), here.storage, here.settings)
    except ArchiveError as error:
        raise OriginalGoneError(str(error)) if error.code is JobErrorCode.ARCHIVE_GONE else error from None
