"""Figures about all jobs together, for scaling and dashboards. Cheap whatever has run before: counted over small indexes."""

from __future__ import annotations

import uuid
from collections import Counter
from dataclasses import dataclass, field

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.db.models import TERMINAL_STATES, Chunk, ChunkState, Job, JobState

DEPENDENCIES = ("serving", "storage", "database", "broker")  # what a job can wait for


@dataclass(frozen=True, slots=True)
class Backlog:
    """What is there to do. A scaler needs both parts: a backlog alone would scale a fleet to zero with work in flight."""

    jobs: dict[str, int]  # by state, every state present
    items_pending: int  # items of started jobs that no worker holds
    items_in_flight: int  # items that a worker holds
    oldest_queued_at: float | None  # seconds since 1970
    chunks_running: int = 0  # chunks that a worker holds, one for each process at work
    unlisted_archives: int = 0  # jobs whose items nobody has counted yet
    unlisted_images: int = 0  # as above, of a single image each
    jobs_waiting: dict[str, int] = field(default_factory=dict)  # unfinished jobs, by the machinery they wait for
    stalest_progress_at: float | None = None  # of the running job that has stood still for longest, seconds since 1970


def read_backlog(session: Session) -> Backlog:
    """The present backlog."""
    counted = session.execute(select(Job.state, func.count()).group_by(Job.state)).all()
    jobs = dict.fromkeys(map(str, JobState), 0) | {str(state): count for state, count in counted}
    live = [state for state in JobState if state not in TERMINAL_STATES]
    remaining = session.scalar(select(func.sum(Job.remaining)).where(Job.state.in_(live))) or 0
    held = session.execute(select(Chunk.item_count, Chunk.picked).where(Chunk.state == ChunkState.RUNNING)).all()
    in_flight = sum(count if picked is None else len(picked) for count, picked in held)
    oldest = session.scalar(select(func.min(Job.created_at)).where(Job.state == JobState.QUEUED))
    stalest = session.scalar(
        select(func.min(func.coalesce(Job.progress_at, Job.running_at))).where(Job.state == JobState.RUNNING)
    )
    unlisted = _count_unlisted(session)
    return Backlog(
        jobs=jobs,
        items_pending=max(0, remaining - in_flight),
        items_in_flight=in_flight,
        oldest_queued_at=oldest.timestamp() if oldest else None,
        chunks_running=len(held),
        unlisted_archives=unlisted.get(False, 0),
        unlisted_images=unlisted.get(True, 0),
        jobs_waiting=_count_waiting(session, live),
        stalest_progress_at=stalest.timestamp() if stalest else None,
    )


def _count_unlisted(session: Session) -> dict[bool, int]:
    """Jobs without a list of items, by whether they are of a single image."""
    rows = session.execute(
        select(Job.interactive, func.count())
        .where(Job.state.in_((JobState.QUEUED, JobState.PREPARING)))
        .group_by(Job.interactive)
    ).all()
    return {row.interactive: row[1] for row in rows}


def _count_waiting(session: Session, live: list[JobState]) -> dict[str, int]:
    """A job's `waiting_for` begins with the name of what is away."""
    texts = session.scalars(select(Job.waiting_for).where(Job.state.in_(live), Job.waiting_for.is_not(None))).all()
    found = Counter((text or "").partition(":")[0] for text in texts)
    return dict.fromkeys(DEPENDENCIES, 0) | {name: found[name] for name in DEPENDENCIES}


@dataclass(frozen=True, slots=True)
class Progress:
    """The least that tells whether a job has changed, and whether it has ended."""

    state: JobState
    revision: int


def read_progress(session: Session, job_id: uuid.UUID) -> Progress | None:
    """One index look-up; None if the job is gone."""
    row = session.execute(select(Job.state, Job.revision).where(Job.id == job_id)).first()
    return None if row is None else Progress(JobState(row.state), row.revision)
