"""Sends wake-up messages again: lost ones, those that are due, and those for which a window has room."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.db.lifecycle import settle_job
from core.db.maintenance.due import lock_due_jobs
from core.db.models import Chunk, ChunkState, Job, JobState
from core.db.retrying import continue_retry
from core.db.waiting import note_waiting
from core.db.window import WindowPolicy, mark_published, open_window
from core.messages import Message, classify_message, prepare_message

PAGE = 200  # rows in one transaction
UNANSWERED = 3  # messages for one chunk, none taken up: that is no lost message any more
NOT_TAKEN = "worker: none takes this job's messages up, though they were sent several times; see whether workers consume"


def publish_due_jobs(session: Session, policy: WindowPolicy, now: datetime) -> list[Message]:
    """Queued jobs whose wake-up was lost, never sent, or put off until now."""
    jobs = lock_due_jobs(session, JobState.QUEUED, now, PAGE)
    for job in jobs:
        job.due_at = now + timedelta(seconds=policy.republish_s)
    return [prepare_message(job.id, interactive=job.interactive) for job in jobs]


def republish_chunks(
    session: Session, policy: WindowPolicy, now: datetime, *, lost_since: datetime | None, queued: int | None = None
) -> list[Message]:
    """Published chunks that nobody claimed in time.

    Args:
        lost_since: the broker's queues are empty, so whatever was published before this instant is lost and goes out at once;
            None where that is not known.
        queued: messages that wait in the broker's queues. Where there are as many as published chunks, none is lost: they wait
            for a free worker, and another message for each would only make the queue longer. None where it is not known.
    """
    chunks = session.scalars(
        select(Chunk)
        .where(Chunk.state == ChunkState.PUBLISHED, Chunk.due_at <= now if lost_since is None else Chunk.due_at.is_not(None))
        .order_by(Chunk.due_at)
        .limit(PAGE)
        .with_for_update(skip_locked=True)
    ).all()
    if chunks and queued and queued >= _count_published(session):
        _look_again_later([chunk for chunk in chunks if chunk.due_at is not None], policy, now)
        return []
    for job_id in {chunk.job_id for chunk in chunks if chunk.publishes >= UNANSWERED and chunk.due_at and chunk.due_at <= now}:
        note_waiting(session, job_id, NOT_TAKEN, now)
    if lost_since is not None:
        chunks = [chunk for chunk in chunks if _published_at(chunk, policy) <= lost_since]
    messages: list[Message] = []
    for job_id in sorted({chunk.job_id for chunk in chunks}):
        job = session.get(Job, job_id)
        numbers = [chunk.chunk_no for chunk in chunks if chunk.job_id == job_id]
        if job is not None and job.state == JobState.RUNNING:
            mark_published(session, job_id, numbers, policy, now)
            messages += [classify_message(job_id, number, interactive=job.interactive) for number in numbers]
    return messages


def top_up_jobs(
    session: Session, policy: WindowPolicy, now: datetime, after: uuid.UUID | None
) -> tuple[list[Message], uuid.UUID | None]:
    """One page of running and cancelling jobs: settle what is complete, fill windows (chunks whose back-off is over, too).

    Returns:
        Messages, and the last id of a full page, from which to go on; None at the end.
    """
    query = (
        select(Job)
        .where(Job.state.in_((JobState.RUNNING, JobState.CANCELLING)))
        .order_by(Job.id)
        .limit(PAGE)
        .with_for_update(skip_locked=True)
    )
    jobs = session.scalars(query if after is None else query.where(Job.id > after)).all()
    messages: list[Message] = []
    for job in jobs:
        if job.reopening is not None:  # whoever began this retry has died, or takes the next page this very moment
            messages += continue_retry(session, job.id, policy, now)[0]
            continue
        settle_job(session, job, now)
        messages += open_window(session, job, policy, now)
    return messages, jobs[-1].id if len(jobs) == PAGE else None


def walk_pages(page: Callable[[uuid.UUID | None], tuple[list[Message], uuid.UUID | None]]) -> list[Message]:
    """All messages of a paged sweep; each page is the caller's own transaction."""
    messages, after = page(None)
    while after is not None:
        more, after = page(after)
        messages += more
    return messages


def _count_published(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(Chunk).where(Chunk.state == ChunkState.PUBLISHED)) or 0


def _look_again_later(chunks: Sequence[Chunk], policy: WindowPolicy, now: datetime) -> None:
    for chunk in chunks:
        chunk.due_at = now + timedelta(seconds=policy.republish_s)


def _published_at(chunk: Chunk, policy: WindowPolicy) -> datetime:
    assert chunk.due_at is not None  # noqa: S101 - the query asked for it
    return chunk.due_at - timedelta(seconds=policy.republish_s)
