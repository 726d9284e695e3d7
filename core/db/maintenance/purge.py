"""Removes ended jobs on request, before their retention is over."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import Session

from core.access.callers import Caller
from core.db.lifecycle import delete_job
from core.db.maintenance.retention import IS_HELD, PAGE
from core.db.models import GONE_TENANT_ID, Job, JobState

_ENDS = {
    JobState.SUCCEEDED: Job.succeeded_at,
    JobState.FAILED: Job.failed_at,
    JobState.CANCELLED: Job.cancelled_at,
}


def find_purgeable(
    session: Session,
    before: datetime,
    *,
    tenant_id: uuid.UUID | None = None,
    job_ids: Collection[uuid.UUID] = (),
    limit: int = PAGE,
) -> Sequence[Job]:
    """Jobs that ended before an instant, the oldest first; those that a worker still holds a chunk of are left alone.

    Args:
        session: its transaction.
        before: the jobs ended earlier.
        tenant_id: only this tenant's.
        job_ids: only these.
        limit: at most so many.
    """
    ended: list[ColumnElement[bool]] = [and_(Job.state == state, at <= before) for state, at in _ENDS.items()]
    query = select(Job).where(or_(*ended), ~IS_HELD, Job.tenant_id != GONE_TENANT_ID).order_by(Job.id).limit(limit)
    if tenant_id is not None:
        query = query.where(Job.tenant_id == tenant_id)
    if job_ids:
        query = query.where(Job.id.in_(job_ids))
    return session.scalars(query).all()


def purge_jobs(session: Session, jobs: Sequence[Job], caller: Caller, now: datetime) -> list[str]:
    """Remove jobs with their rows. The audit has a record of each, with its counts.

    Returns:
        Storage prefixes to be emptied; the sweep empties them if nobody does (core.db.tombstones).
    """
    prefixes: list[str] = []
    for job in jobs:
        prefixes += delete_job(session, job.tenant_id, job.id, now, by=caller)
    return prefixes
