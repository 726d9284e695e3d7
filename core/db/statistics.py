"""Figures about all jobs together, for scaling and dashboards. Cheap whatever has run before: counted over small indexes."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.db.models import TERMINAL_STATES, Chunk, ChunkState, Job, JobState


@dataclass(frozen=True, slots=True)
class Backlog:
    """What is there to do. A scaler needs both parts: a backlog alone would scale a fleet to zero with work in flight."""

    jobs: dict[str, int]  # by state, every state present
    items_pending: int  # items of started jobs that no worker holds
    items_in_flight: int  # items that a worker holds
    oldest_queued_at: float | None  # seconds since 1970


def read_backlog(session: Session) -> Backlog:
    """The present backlog."""
    counted = session.execute(select(Job.state, func.count()).group_by(Job.state)).all()
    jobs = dict.fromkeys(map(str, JobState), 0) | {str(state): count for state, count in counted}
    live = [state for state in JobState if state not in TERMINAL_STATES]
    remaining = session.scalar(select(func.sum(Job.remaining)).where(Job.state.in_(live))) or 0
    held = session.execute(select(Chunk.item_count, Chunk.picked).where(Chunk.state == ChunkState.RUNNING)).all()
    in_flight = sum(count if picked is None else len(picked) for count, picked in held)
    oldest = session.scalar(select(func.min(Job.created_at)).where(Job.state == JobState.QUEUED))
    return Backlog(jobs, max(0, remaining - in_flight), in_flight, oldest.timestamp() if oldest else None)


@dataclass(frozen=True, slots=True)
class Progress:
    """The least that tells whether a job has changed, and whether it has ended."""

    state: JobState
    revision: int


def read_progress(session: Session, job_id: uuid.UUID) -> Progress | None:
    """One index look-up; None if the job is gone."""
    row = session.execute(select(Job.state, Job.revision).where(Job.id == job_id)).first()
    return None if row is None else Progress(JobState(row.state), row.revision)
