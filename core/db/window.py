"""The dispatch window: at most W chunks of a job are published at a time; completing one publishes the next.

So the queue stays small with a million images, a small job runs beside a huge one instead of behind it, and cancelling is
prompt.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from core.db.lifecycle import CountedJob
from core.db.models import Chunk, ChunkState, Job, JobState
from core.messages import Message, classify_message


@dataclass(frozen=True, slots=True)
class WindowPolicy:
    """How many chunks are open at a time and how long a message may go unanswered."""

    window: int
    republish_s: float

    def size_for(self, priority: int) -> int:
        """Priority 0, 1, 2 → half, one, two windows."""
        return max(1, int(self.window * 2.0 ** (priority - 1)))


def open_window(session: Session, job: Job | CountedJob, policy: WindowPolicy, now: datetime) -> list[Message]:
    """Mark the next pending chunks of a running job as published and return the messages to send after the commit.

    The caller holds the job's row lock (any UPDATE of it in this transaction). Rows that another transaction holds are skipped,
    never waited for, so the lock order chunk → job cannot be turned round here.
    """
    if job.state != JobState.RUNNING:
        return []
    open_now = session.scalar(
        select(func.count())
        .select_from(Chunk)
        .where(Chunk.job_id == job.id, Chunk.state.in_((ChunkState.PUBLISHED, ChunkState.RUNNING)))
    )
    room = policy.size_for(job.priority) - (open_now or 0)
    if room <= 0:
        return []
    numbers = session.scalars(
        select(Chunk.chunk_no)
        .where(Chunk.job_id == job.id, Chunk.state == ChunkState.PENDING, or_(Chunk.due_at.is_(None), Chunk.due_at <= now))
        .order_by(Chunk.chunk_no)
        .limit(room)
        .with_for_update(skip_locked=True)
    ).all()
    mark_published(session, job.id, list(numbers), policy, now)
    return [classify_message(job.id, number, interactive=job.interactive) for number in numbers]


def mark_published(session: Session, job_id: uuid.UUID, numbers: list[int], policy: WindowPolicy, now: datetime) -> None:
    """Record that messages for these chunks go out. One that nobody takes up is looked at again after `republish_s`."""
    if not numbers:
        return
    session.execute(
        update(Chunk)
        .where(Chunk.job_id == job_id, Chunk.chunk_no.in_(numbers))
        .values(
            state=ChunkState.PUBLISHED,
            publishes=Chunk.publishes + 1,
            due_at=now + timedelta(seconds=policy.republish_s),
        ),
        execution_options={"synchronize_session": False},
    )
