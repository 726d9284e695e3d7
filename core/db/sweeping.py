"""What the sweeper finds and mends: lost messages, expired leases, jobs that never started, jobs past their retention.

Every function is safe to run in several sweepers at once: rows that another one holds are skipped. Each walks by key or by due
time, a page at a time, so that a page full of healthy rows cannot hide a stuck one.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from core.db.chunks import chunk_items
from core.db.lifecycle import delete_job, enter_state, fail_job, settle_job
from core.db.models import TERMINAL_STATES, Chunk, ChunkState, Job, JobState
from core.db.window import WindowPolicy, mark_published, open_window
from core.messages import Message, classify_message, prepare_message

SPLIT_WAYS = 8  # a chunk that kills its workers is cut in so many: 256 items reach a single one in three cuts
PAGE = 200


class Rescue(StrEnum):
    """What is counted of a rescue."""

    CHUNK_CRASH = "chunk_crash"  # a chunk was taken from a process that died or hung
    CHUNK_SPLIT = "chunk_split"  # and cut up, as it was not the first time
    PREPARE_CRASH = "prepare_crash"  # a job was taken from a process that listed it


@dataclass(frozen=True, slots=True)
class RescuePolicy:
    """When a chunk is given up as a whole; and what was done under this policy, if the transactions were committed."""

    window: WindowPolicy
    max_crashes: int
    done: Counter[Rescue] = field(default_factory=Counter)


def publish_due_jobs(session: Session, policy: WindowPolicy, now: datetime) -> list[Message]:
    """Queued jobs whose wake-up was lost, never sent, or put off until now."""
    jobs = _lock_due_jobs(session, JobState.QUEUED, now)
    for job in jobs:
        job.due_at = now + timedelta(seconds=policy.republish_s)
    return [prepare_message(job.id, interactive=job.interactive) for job in jobs]


def rescue_prepares(session: Session, policy: RescuePolicy, now: datetime) -> list[Message]:
    """Jobs whose preparing worker let its lease run out."""
    return _requeue_prepares(session, _lock_due_jobs(session, JobState.PREPARING, now), policy, now)


def rescue_chunks(session: Session, policy: RescuePolicy, now: datetime) -> list[Message]:
    """Chunks whose worker let its lease run out."""
    chunks = session.scalars(
        select(Chunk)
        .where(Chunk.state == ChunkState.RUNNING, Chunk.due_at <= now)
        .order_by(Chunk.due_at)
        .limit(PAGE)
        .with_for_update(skip_locked=True)
    ).all()
    return [message for chunk in chunks for message in _rescue_chunk(session, chunk, policy, now)]


def rescue_owned(session: Session, owner: str, policy: RescuePolicy, now: datetime) -> list[Message]:
    """Everything a dead process held, without waiting for its leases to run out."""
    jobs = session.scalars(select(Job).where(Job.state == JobState.PREPARING, Job.owner == owner).with_for_update()).all()
    messages = _requeue_prepares(session, jobs, policy, now)
    chunks = session.scalars(
        select(Chunk)
        .where(Chunk.state == ChunkState.RUNNING, Chunk.owner == owner)
        .order_by(Chunk.job_id, Chunk.chunk_no)
        .with_for_update()
    ).all()
    return messages + [message for chunk in chunks for message in _rescue_chunk(session, chunk, policy, now)]


def list_owners(session: Session) -> Sequence[str]:
    """Processes that hold a chunk or a prepare right now."""
    chunk_owners = session.scalars(select(Chunk.owner).where(Chunk.state == ChunkState.RUNNING).distinct()).all()
    job_owners = session.scalars(select(Job.owner).where(Job.state == JobState.PREPARING).distinct()).all()
    return sorted({owner for owner in (*chunk_owners, *job_owners) if owner})


def republish_chunks(session: Session, policy: WindowPolicy, now: datetime, *, lost_since: datetime | None) -> list[Message]:
    """Published chunks that nobody claimed in time.

    Args:
        lost_since: the broker's queues are empty, so whatever was published before this instant is lost and goes out at once;
            None where that is not known.
    """
    chunks = session.scalars(
        select(Chunk)
        .where(Chunk.state == ChunkState.PUBLISHED, Chunk.due_at <= now if lost_since is None else Chunk.due_at.is_not(None))
        .order_by(Chunk.due_at)
        .limit(PAGE)
        .with_for_update(skip_locked=True)
    ).all()
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


def _published_at(chunk: Chunk, policy: WindowPolicy) -> datetime:
    assert chunk.due_at is not None  # noqa: S101 - the query asked for it
    return chunk.due_at - timedelta(seconds=policy.republish_s * 2 ** min(max(chunk.publishes - 1, 0), 6))


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
        settle_job(session, job, now)
        messages += open_window(session, job, policy, now)
    return messages, jobs[-1].id if len(jobs) == PAGE else None


def delete_expired_jobs(session: Session, now: datetime) -> list[str]:
    """Remove ended jobs past their retention; returns storage prefixes to delete after the commit."""
    jobs = session.scalars(
        select(Job)
        .where(Job.expires_at <= now, Job.state.in_(TERMINAL_STATES))
        .order_by(Job.expires_at)
        .limit(PAGE)
        .with_for_update(skip_locked=True)
    ).all()
    return [prefix for job in jobs for prefix in delete_job(session, job.tenant_id, job.id)]


def expire_all_leases(session: Session, now: datetime) -> None:
    """Give back what dead workers held, counting no crash.

    Only for a caller who knows that no worker is alive: `dermq up` at its start.
    """
    session.execute(
        update(Chunk).where(Chunk.state == ChunkState.RUNNING).values(state=ChunkState.PUBLISHED, due_at=now, owner=None),
        execution_options={"synchronize_session": False},
    )
    session.execute(
        update(Job).where(Job.state == JobState.PREPARING).values(state=JobState.QUEUED, due_at=now, owner=None),
        execution_options={"synchronize_session": False},
    )


def walk_pages(page: Callable[[uuid.UUID | None], tuple[list[Message], uuid.UUID | None]]) -> list[Message]:
    """All messages of a paged sweep; each page is the caller's own transaction."""
    messages, after = page(None)
    while after is not None:
        more, after = page(after)
        messages += more
    return messages


def _lock_due_jobs(session: Session, state: JobState, now: datetime) -> Sequence[Job]:
    """The page of jobs in a state that have been due longest, but for those that another sweeper holds."""
    return session.scalars(
        select(Job)
        .where(Job.state == state, Job.due_at <= now)
        .order_by(Job.due_at)
        .limit(PAGE)
        .with_for_update(skip_locked=True)
    ).all()


def _requeue_prepares(session: Session, jobs: Sequence[Job], policy: RescuePolicy, now: datetime) -> list[Message]:
    messages = []
    for job in jobs:
        job.crashes += 1
        policy.done[Rescue.PREPARE_CRASH] += 1
        if job.crashes >= policy.max_crashes:
            fail_job(
                session,
                job,
                "prepare_crash",
                f"the worker died {job.crashes} times while listing this archive; it may be damaged or need more memory than a "
                "worker has. Check the worker's log, then retry the job",
                now,
            )
            continue
        enter_state(job, JobState.QUEUED, now)
        job.owner = None
        job.due_at = now + timedelta(seconds=policy.window.republish_s)
        messages.append(prepare_message(job.id, interactive=job.interactive))
    return messages


def _rescue_chunk(session: Session, chunk: Chunk, policy: RescuePolicy, now: datetime) -> list[Message]:
    chunk.crashes += 1
    policy.done[Rescue.CHUNK_CRASH] += 1
    chunk.owner = None
    chunk.due_at = None
    chunk.state = ChunkState.PENDING
    session.flush()
    job = session.scalar(select(Job).where(Job.id == chunk.job_id).with_for_update())
    if job is None:
        return []
    if job.state == JobState.RUNNING and chunk.crashes >= policy.max_crashes and len(chunk_items(chunk)) > 1:
        _split_chunk(session, job, chunk)
        policy.done[Rescue.CHUNK_SPLIT] += 1
    settle_job(session, job, now)
    session.flush()
    return open_window(session, job, policy.window, now)


def _split_chunk(session: Session, job: Job, chunk: Chunk) -> None:
    """Replace a chunk that kills its workers by smaller ones, so that in the end only the guilty item is left alone."""
    items = chunk_items(chunk)
    step = -(-len(items) // SPLIT_WAYS)
    for start in range(0, len(items), step):
        part = items[start : start + step]
        session.add(
            Chunk(
                job_id=job.id,
                chunk_no=job.chunk_count,
                first_item=part[0],
                item_count=part[-1] - part[0] + 1,
                picked=list(part) if chunk.picked is not None else None,
                index_first_item=chunk.index_first_item,
                index_offset=chunk.index_offset,
                index_length=chunk.index_length,
                state=ChunkState.PENDING,
            )
        )
        job.chunk_count += 1
    chunk.state = ChunkState.SPLIT
