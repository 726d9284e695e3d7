"""Sends wake-up messages again: lost ones, and those that are due."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import exists, func, or_, select
from sqlalchemy.orm import Session

from core.db.lifecycle import settle_job
from core.db.maintenance.due import lock_due_jobs
from core.db.models import Chunk, ChunkState, Job, JobState
from core.db.retrying import continue_retry
from core.db.turns import catch_up, jobs_in_turn
from core.db.waiting import note_waiting
from core.db.window import WindowPolicy, open_window
from core.messages import Message, prepare_message

PAGE = 200  # rows in one transaction
UNANSWERED = 3  # times republish_s without a claim, though messages were sent: that is no lost message any more
NOT_TAKEN = "worker: none takes this job's messages up, though they were sent several times; see whether workers consume"


def publish_due_jobs(session: Session, policy: WindowPolicy, now: datetime) -> list[Message]:
    """Queued jobs whose wake-up was lost, never sent, or put off until now."""
    jobs = lock_due_jobs(session, JobState.QUEUED, now, PAGE)
    for job in jobs:
        job.due_at = now + timedelta(seconds=policy.republish_s)
    return [prepare_message(job.id, interactive=job.interactive) for job in jobs]


def wake_idle(
    session: Session, policy: WindowPolicy, now: datetime, *, queued: int | None, observed_since: datetime | None = None
) -> list[Message]:
    """Wake-up messages for chunks that can be claimed though no message waits: those before were lost, or a back-off is over.

    Args:
        session: its transaction.
        policy: how many at most, and for how long a job may wait before it says that nobody takes its messages up.
        now: the present.
        queued: messages that wait in the broker's queues of chunks: as long as there is one, no other is needed. None where the
            broker does not say.
        observed_since: since when whoever sweeps has reached the database without a gap; None: for too short a time.
    """
    _reopen_published(session)
    silence = timedelta(seconds=UNANSWERED * policy.republish_s)
    if observed_since is not None and observed_since <= now - silence:
        _note_untaken(session, now - silence, now)
    if queued:
        return []
    job_ids = session.scalars(jobs_in_turn(now)).all()
    messages: list[Message] = []
    for job in (session.get_one(Job, job_id) for job_id in job_ids):
        messages += open_window(session, job, policy, now, most=policy.window - len(messages))
        if len(messages) >= policy.window:
            break
    return messages


def _reopen_published(session: Session) -> None:
    """What a worker of a release before 0020 has published is pending for the present one."""
    found = select(Chunk).where(Chunk.state == ChunkState.PUBLISHED).limit(PAGE).with_for_update(skip_locked=True)
    for chunk in session.scalars(found).all():
        chunk.state, chunk.due_at = ChunkState.PENDING, None
    session.flush()


def _note_untaken(session: Session, since: datetime, now: datetime) -> None:
    """Say it on the jobs whose turn it is, if no process has taken a chunk for so long."""
    if session.scalar(select(exists().where(or_(Chunk.state == ChunkState.RUNNING, Chunk.finished_at > since)))):
        return
    waiting = jobs_in_turn(now).subquery()
    moved_at = func.coalesce(Job.waiting_until, Job.progress_at, Job.running_at)
    for job_id in session.scalars(select(Job.id).join(waiting, waiting.c.id == Job.id).where(moved_at <= since)).all():
        note_waiting(session, job_id, NOT_TAKEN, now)


def top_up_jobs(
    session: Session, policy: WindowPolicy, now: datetime, after: uuid.UUID | None
) -> tuple[list[Message], uuid.UUID | None]:
    """One page of running and cancelling jobs: settle what is complete, go on with retries, keep turns from being saved up.

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
        if job.state == JobState.RUNNING:
            catch_up(session, job, now)
    return messages, jobs[-1].id if len(jobs) == PAGE else None


def walk_pages(page: Callable[[uuid.UUID | None], tuple[list[Message], uuid.UUID | None]]) -> list[Message]:
    """All messages of a paged sweep; each page is the caller's own transaction."""
    messages, after = page(None)
    while after is not None:
        more, after = page(after)
        messages += more
    return messages
