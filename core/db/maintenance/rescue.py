"""Takes back what dead or hung processes held: chunks, and jobs that were being prepared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from core.db.lifecycle import enter_state, fail_job, settle_job
from core.db.maintenance.due import lock_due_jobs
from core.db.models import Chunk, ChunkState, Job, JobState
from core.db.processes import Verdict, forget_process, judge, read_seen
from core.db.splitting import chunk_items, split_chunk
from core.db.turns import QUANTUM_S, charge_job
from core.db.window import WindowPolicy, open_window
from core.errors import JobErrorCode
from core.messages import Message, prepare_message

PAGE = 200  # rows in one transaction


class Rescue(StrEnum):
    """What is counted of a rescue."""

    CHUNK_CRASH = "chunk_crash"  # a chunk was taken from a process that died or hung
    CHUNK_SPLIT = "chunk_split"  # and cut up, as it was not the first time
    PREPARE_CRASH = "prepare_crash"  # a job was taken from a process that listed it
    JOB_FAILED = "job_failed"  # and failed, as that was not the first time


@dataclass(frozen=True, slots=True)
class RescuePolicy:
    """When a chunk is given up as a whole; and what was done under this policy, if the transactions were committed."""

    window: WindowPolicy
    max_crashes: int  # of a chunk of several images
    max_crashes_alone: int = 4  # of an archive while it is listed; as of a single image, since it cannot be cut up
    patience_s: float = 15.0  # silence of a process that counts as its death: a lease
    observed_since: datetime | None = None  # since when whoever sweeps has reached the database without a gap
    backoff_s: float = 0.0  # first wait of a chunk after a death; it doubles
    done: Counter[Rescue] = field(default_factory=Counter)


def rescue_prepares(session: Session, policy: RescuePolicy, now: datetime) -> list[Message]:
    """Jobs whose preparing worker let its lease run out."""
    jobs = lock_due_jobs(session, JobState.PREPARING, now, PAGE)
    verdicts = _judge_owners(session, [job.owner for job in jobs], policy, now)
    return _requeue_prepares(session, jobs, verdicts, policy, now)


def rescue_chunks(session: Session, policy: RescuePolicy, now: datetime) -> list[Message]:
    """Chunks whose worker let its lease run out."""
    chunks = session.scalars(
        select(Chunk)
        .where(Chunk.state == ChunkState.RUNNING, Chunk.due_at <= now)
        .order_by(Chunk.due_at)
        .limit(PAGE)
        .with_for_update(skip_locked=True)
    ).all()
    verdicts = _judge_owners(session, [chunk.owner for chunk in chunks], policy, now)
    return [message for chunk in chunks for message in _rescue_chunk(session, chunk, verdicts[chunk.owner], policy, now)]


def rescue_owned(session: Session, owner: str, policy: RescuePolicy, now: datetime) -> list[Message]:
    """Everything a dead process held, without waiting for its leases to run out."""
    jobs = session.scalars(select(Job).where(Job.state == JobState.PREPARING, Job.owner == owner).with_for_update()).all()
    messages = _requeue_prepares(session, jobs, {owner: Verdict.DEAD}, policy, now)
    chunks = session.scalars(
        select(Chunk)
        .where(Chunk.state == ChunkState.RUNNING, Chunk.owner == owner)
        .order_by(Chunk.job_id, Chunk.chunk_no)
        .with_for_update()
    ).all()
    messages += [message for chunk in chunks for message in _rescue_chunk(session, chunk, Verdict.DEAD, policy, now)]
    forget_process(session, owner)
    return messages


def list_owners(session: Session) -> Sequence[str]:
    """Processes that hold a chunk or a prepare right now."""
    chunk_owners = session.scalars(select(Chunk.owner).where(Chunk.state == ChunkState.RUNNING).distinct()).all()
    job_owners = session.scalars(select(Job.owner).where(Job.state == JobState.PREPARING).distinct()).all()
    return sorted({owner for owner in (*chunk_owners, *job_owners) if owner})


def expire_all_leases(session: Session, now: datetime) -> None:
    """Give back what dead workers held, counting no crash.

    Only for a caller who knows that no worker is alive: `dermq up` at its start.
    """
    session.execute(
        update(Chunk).where(Chunk.state == ChunkState.RUNNING).values(state=ChunkState.PENDING, due_at=None, owner=None),
        execution_options={"synchronize_session": False},
    )
    session.execute(
        update(Job).where(Job.state == JobState.PREPARING).values(state=JobState.QUEUED, due_at=now, owner=None),
        execution_options={"synchronize_session": False},
    )


def _judge_owners(
    session: Session, owners: Sequence[str | None], policy: RescuePolicy, now: datetime
) -> dict[str | None, Verdict]:
    seen = read_seen(session, {owner for owner in owners if owner})
    return {owner: judge(seen.get(owner or ""), policy.observed_since, now, policy.patience_s) for owner in owners}


def _requeue_prepares(
    session: Session, jobs: Sequence[Job], verdicts: dict[str | None, Verdict], policy: RescuePolicy, now: datetime
) -> list[Message]:
    messages = []
    for job in jobs:
        verdict = verdicts[job.owner]
        if verdict is Verdict.OPEN:
            continue
        # A death before the archive was opened says nothing about the archive (the model server was asked meanwhile).
        if verdict is Verdict.DEAD and job.opened_attempt == job.attempt:
            job.crashes += 1
            policy.done[Rescue.PREPARE_CRASH] += 1
        if job.crashes >= policy.max_crashes_alone:
            policy.done[Rescue.JOB_FAILED] += 1
            fail_job(
                session,
                job,
                JobErrorCode.PREPARE_CRASH,
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


def _rescue_chunk(session: Session, chunk: Chunk, verdict: Verdict, policy: RescuePolicy, now: datetime) -> list[Message]:
    if verdict is Verdict.OPEN:
        return []
    chunk.owner = None
    chunk.due_at = None
    chunk.state = ChunkState.PENDING
    if verdict is Verdict.DEAD:
        chunk.crashes += 1
        policy.done[Rescue.CHUNK_CRASH] += 1
        if chunk.crashes > 1:  # the first time it goes on at once
            chunk.due_at = now + timedelta(seconds=policy.backoff_s * 2.0 ** min(chunk.crashes - 2, 6))
    session.flush()
    job = session.scalar(select(Job).where(Job.id == chunk.job_id).with_for_update())
    if job is None:
        return []
    if verdict is Verdict.DEAD:
        charge_job(job, QUANTUM_S)
    if job.state == JobState.RUNNING and chunk.crashes >= policy.max_crashes and len(chunk_items(chunk)) > 1:
        split_chunk(session, job, chunk)
        policy.done[Rescue.CHUNK_SPLIT] += 1
    settle_job(session, job, now)
    session.flush()
    return open_window(session, job, policy.window, now, most=1)
