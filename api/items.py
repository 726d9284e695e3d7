"""The original bytes of one item, read from the job's archive by way of its index."""

from __future__ import annotations

from uuid import UUID

from api.resources import Resources
from core.archives.base import ArchiveRef, Member
from core.archives.open import open_archive
from core.db.engine import reading
from core.db.jobs import get_job
from core.db.results import find_index_slice
from core.errors import ItemError, NotFoundError
from core.storage.layout import index_key


def read_item(here: Resources, tenant_id: UUID, job_id: UUID, item_no: int) -> tuple[Member, bytes]:
    """A member and its bytes, checked against its checksum where it has one.

    Raises:
        NotFoundError: no such job or item, or its archive is gone.
        ItemError: the member cannot be read.
        StorageUnavailableError: the storage does not answer.
    """
    with reading(here.engine) as session:
        job = get_job(session, tenant_id, job_id)
        where = find_index_slice(session, job_id, item_no)
    if job.archive is None:
        raise NotFoundError(f"job {job_id} is {job.state}: its archive has not been listed yet")
    index = here.storage.open(index_key(job_id))
    try:
        lines = index.read_at(where.offset, where.length).splitlines()
    finally:
        index.close()
    member = Member.from_line(lines[item_no - where.first_item])
    if member.error is not None:
        raise ItemError(member.error, member.error_text)
    archive = open_archive(ArchiveRef.from_json(job.archive), here.storage, here.settings)
    try:
        return member, archive.read(member)
    finally:
        archive.close()
