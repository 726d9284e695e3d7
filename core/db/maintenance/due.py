"""Rows whose due time has come, locked for one sweep; and due times that nobody can have meant."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.db.models import Chunk, ChunkState, Job, JobState

PAGE = 200  # rows of a kind in one transaction
_Waiting = TypeVar("_Waiting", Chunk, Job)


def lock_due_jobs(session: Session, state: JobState, now: datetime, limit: int) -> Sequence[Job]:
    """The page of jobs in a state that have been due longest, but for those that another sweeper holds."""
    return session.scalars(
        select(Job)
        .where(Job.state == state, Job.due_at <= now)
        .order_by(Job.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()


def pull_in_far_times(session: Session, now: datetime, *, longest_s: float, lease_s: float) -> int:
    """Bring due times near that lie further ahead than any wait or lease: a clock wrote them that was put back since.

    Their work would stand still until that clock comes there again. It is due after one lease: whoever holds it lives and
    renews it before, or does not.

    Args:
        session: its transaction.
        now: the present.
        longest_s: longest wait or lease that DermQ gives, in seconds.
        lease_s: a lease, in seconds.

    Returns:
        How many rows were changed: at most PAGE of chunks and of jobs.
    """
    far, near = now + timedelta(seconds=longest_s), now + timedelta(seconds=lease_s)
    chunks = _pull_in(session, Chunk, (ChunkState.PENDING, ChunkState.RUNNING), far, near)
    return chunks + _pull_in(session, Job, (JobState.QUEUED, JobState.PREPARING), far, near)


def _pull_in(
    session: Session, table: type[_Waiting], states: Sequence[ChunkState | JobState], far: datetime, near: datetime
) -> int:
    chosen = select(table).where(table.state.in_(states), table.due_at > far).limit(PAGE)
    rows = session.scalars(chosen.with_for_update(skip_locked=True)).all()
    for row in rows:
        row.due_at = near
    return len(rows)
