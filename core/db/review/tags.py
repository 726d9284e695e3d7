"""Words by which the owner of jobs finds them."""

from __future__ import annotations

import uuid
from collections.abc import Collection

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from core.db.review.tables import JobTag


def read_tags(session: Session, job_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, list[str]]:
    """The words of some jobs, by name; jobs without any are left out."""
    found: dict[uuid.UUID, list[str]] = {}
    query = select(JobTag.job_id, JobTag.tag).where(JobTag.job_id.in_(job_ids)).order_by(JobTag.tag)
    for job_id, tag in session.execute(query):
        found.setdefault(job_id, []).append(tag)
    return found


def replace_tags(session: Session, job_id: uuid.UUID, tags: Collection[str]) -> None:
    """Put words on a job in place of those that it has. The job is locked by the caller."""
    session.execute(delete(JobTag).where(JobTag.job_id == job_id))
    if tags:
        session.execute(insert(JobTag), [{"job_id": job_id, "tag": tag} for tag in sorted(set(tags))])
