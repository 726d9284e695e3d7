"""Rows whose due time has come, locked for one sweep."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.db.models import Job, JobState


def lock_due_jobs(session: Session, state: JobState, now: datetime, limit: int) -> Sequence[Job]:
    """The page of jobs in a state that have been due longest, but for those that another sweeper holds."""
    return session.scalars(
        select(Job)
        .where(Job.state == state, Job.due_at <= now)
        .order_by(Job.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
