"""Removes ended jobs that are past their retention."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.db.lifecycle import delete_job
from core.db.models import TERMINAL_STATES, Job

PAGE = 200  # jobs in one transaction


def delete_expired_jobs(session: Session, now: datetime) -> int:
    """Remove a page of ended jobs past their retention, and mark their objects for deletion; returns how many jobs."""
    jobs = session.scalars(
        select(Job)
        .where(Job.expires_at <= now, Job.state.in_(TERMINAL_STATES))
        .order_by(Job.expires_at)
        .limit(PAGE)
        .with_for_update(skip_locked=True)
    ).all()
    for job in jobs:
        delete_job(session, job.tenant_id, job.id, now)
    return len(jobs)
