"""Removes ended jobs that are past their retention."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from core.access.callers import local_caller
from core.db.lifecycle import delete_job
from core.db.models import TERMINAL_STATES, Chunk, ChunkState, Job

PAGE = 200  # jobs in one transaction
IS_HELD = exists().where(Chunk.job_id == Job.id, Chunk.state == ChunkState.RUNNING)  # a worker has a chunk of the job


def delete_expired_jobs(session: Session, now: datetime) -> int:
    """Remove a page of ended jobs past their retention, and mark their objects for deletion; returns how many jobs.

    A job that failed while a worker holds a chunk of it is left to a later sweep: its chunk would have to be locked before it.
    """
    jobs = session.scalars(
        select(Job)
        .where(Job.expires_at <= now, Job.state.in_(TERMINAL_STATES), ~IS_HELD)
        .order_by(Job.expires_at)
        .limit(PAGE)
        .with_for_update(skip_locked=True)
    ).all()
    for job in jobs:
        delete_job(session, job.tenant_id, job.id, now, by=local_caller(job.tenant_id, "retention"))
    return len(jobs)
