"""How a job ends, is stopped, and starts again. The only places that set a job's terminal state."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

from sqlalchemy import delete, exists, select, update
from sqlalchemy.orm import Session, object_session

from core.access.callers import Caller
from core.db.access.audit import Action, record
from core.db.models import (
    GONE_TENANT_ID,
    TERMINAL_STATES,
    Chunk,
    ChunkState,
    Job,
    JobState,
    Tenant,
    Upload,
)
from core.db.outcomes import insert_ignoring_conflicts
from core.db.review.tables import JobTag
from core.db.tombstones import bury
from core.db.webhooks.outbox import emit
from core.db.webhooks.tables import Webhook
from core.errors import ConflictError, JobErrorCode, NotFoundError
from core.storage.layout import job_prefix, upload_prefix
from core.webhooks import EventType

_STAMPS = {
    JobState.PREPARING: "preparing_at",
    JobState.RUNNING: "running_at",
    JobState.CANCELLING: "cancelling_at",
    JobState.SUCCEEDED: "succeeded_at",
    JobState.FAILED: "failed_at",
    JobState.CANCELLED: "cancelled_at",
}

_EVENTS = {
    JobState.SUCCEEDED: EventType.JOB_SUCCEEDED,
    JobState.FAILED: EventType.JOB_FAILED,
    JobState.CANCELLED: EventType.JOB_CANCELLED,
}

INTERNAL_ERROR_TEXT = (
    "DermQ met an error that it does not know, again and again; the worker's log has it as error_id {error_id}: "
    "please report it with these lines, and retry the job when it is mended"
)


@dataclass(frozen=True, slots=True)
class CountedJob:
    """What a chunk's end has to know of its job, read with the counting of its items: a whole Job costs ten times as much."""

    COLUMNS: ClassVar[tuple[str, ...]] = (
        *("id", "state", "priority", "interactive", "total", "remaining", "failed", "error_budget", "reopening"),
    )

    id: uuid.UUID
    state: str
    priority: int
    interactive: bool
    total: int | None
    remaining: int
    failed: int
    error_budget: float | None
    reopening: dict[str, Any] | None

    @property
    def goes_on(self) -> bool:
        """Whether `settle_job` would change nothing."""
        if self.state != JobState.RUNNING:
            return False
        return self.reopening is not None or (self.remaining > 0 and not _is_over_budget(self))


def enter_state(job: Job, state: JobState, now: datetime) -> None:
    """Set a state and its timestamp; the caller holds the job's row lock."""
    job.state = state
    job.revision += 1
    if state in _STAMPS:
        setattr(job, _STAMPS[state], now)
    if state in TERMINAL_STATES:
        if job.retention_s is not None:
            job.expires_at = now + timedelta(seconds=job.retention_s)
        job.due_at = None
        job.owner = None
        job.waiting_for = job.waiting_since = job.waiting_until = None
        job.reopening = None
        _tell_webhooks(job, state, now)


def _tell_webhooks(job: Job, state: JobState, now: datetime) -> None:
    """In the same transaction: no message is lost, and none is untrue."""
    session = object_session(job)
    if session is None:
        raise AssertionError(f"job {job.id} belongs to no transaction")
    items = {"total": job.total, "succeeded": job.succeeded, "failed": job.failed}
    emit(session, _EVENTS[state], {"job": str(job.id), "items": items, "error": job.error_code}, now, job_id=job.id)


def settle_job(session: Session, job: Job, now: datetime) -> None:
    """End the job if nothing of it is left to do. Called under the job's row lock after each change of a chunk."""
    if job.state != JobState.RUNNING:
        drop_waiting_chunks(session, job.id)
        if job.state == JobState.CANCELLING and not _has_running_chunk(session, job.id):
            enter_state(job, JobState.CANCELLED, now)
    elif job.reopening is not None:
        return  # a retry has not taken all its items back yet
    elif _is_over_budget(job):  # asked before success: the last chunk, or the only one, counts as every other
        fail_job(
            session,
            job,
            JobErrorCode.ERROR_BUDGET,
            f"{job.failed} of {job.total} items failed, more than the job's error budget of {job.error_budget:.1%}; "
            "see its errors, then retry with a larger budget or a repaired archive",
            now,
        )
    elif job.remaining == 0:
        enter_state(job, JobState.SUCCEEDED, now)


def fail_job(session: Session, job: Job, code: JobErrorCode, message: str, now: datetime) -> None:
    """No image can be read through: end the job, keep its results so far.

    Chunks that a worker holds are left alone (locking them here would turn the lock order round): they add their rows, or are
    dropped when they come back, and the job's state stays as it is.
    """
    drop_waiting_chunks(session, job.id)
    job.error_code, job.error = str(code), message
    enter_state(job, JobState.FAILED, now)


def request_cancel(session: Session, tenant_id: uuid.UUID, job_id: uuid.UUID, now: datetime) -> Job:
    """Stop a job: no new batch starts; what a worker holds comes home first. A second time it changes nothing.

    Raises:
        NotFoundError: no such job.
        ConflictError: it has ended by itself: there is nothing to stop.
    """
    job = lock_job(session, tenant_id, job_id)
    if job.state in (JobState.CANCELLING, JobState.CANCELLED):
        return job
    if job.state in TERMINAL_STATES:
        raise ConflictError(f"job {job_id} has ended already: it {job.state}; there is nothing to cancel, its results are kept")
    job.cancelling_at = now
    drop_waiting_chunks(session, job.id)
    # A prepare in flight is fenced by the state: its final commit finds the job no longer preparing.
    enter_state(job, JobState.CANCELLING if _has_running_chunk(session, job.id) else JobState.CANCELLED, now)
    session.flush()
    return job


def delete_job(
    session: Session, tenant_id: uuid.UUID, job_id: uuid.UUID, now: datetime, *, by: Caller | None = None
) -> list[str]:
    """Hide an ended job from everybody, and mark what it has in the storage for deletion; with `by` the audit has its counts.

    From the commit on there is no such job. Its rows go afterwards, in pages: see core.db.maintenance.erasing.

    Returns:
        The storage prefixes that are marked (core.db.tombstones): they may go after the commit.

    Raises:
        NotFoundError: no such job.
        ConflictError: it still runs.
    """
    _lock_held_chunks(session, job_id)
    job = lock_job(session, tenant_id, job_id)
    if job.state not in TERMINAL_STATES:
        raise ConflictError(f"job {job_id} is {job.state}: expected an ended job; cancel it first")
    prefixes = [job_prefix(job.id)]
    upload_id = job.upload_id
    if upload_id is not None:  # two jobs on one upload that are deleted together must not each wait for the other to go
        session.execute(select(Upload.id).where(Upload.id == upload_id).with_for_update())
    _hide(session, job, now)
    if upload_id is not None and not session.scalar(select(exists().where(Job.upload_id == upload_id))):
        session.execute(delete(Upload).where(Upload.id == upload_id))
        prefixes.append(upload_prefix(upload_id))
    bury(session, prefixes, now)
    counts: dict[str, Any] = {"succeeded": job.succeeded, "failed": job.failed, "objects": len(prefixes)}
    if by is not None:
        record(session, by, Action.JOB_DELETE, job_id, now, **counts)
    return prefixes


def _hide(session: Session, job: Job, now: datetime) -> None:
    """Give the job to the tenant of deleted jobs, without what it says of its owner. No worker's claim on it holds any more."""
    gone = {"id": GONE_TENANT_ID, "name": "-deleted", "created_at": now, "suspended_at": now}
    session.execute(insert_ignoring_conflicts(session, Tenant).values(gone))
    session.execute(
        update(Chunk)
        .where(Chunk.job_id == job.id, Chunk.state == ChunkState.RUNNING)
        .values(state=ChunkState.CANCELLED, due_at=None, owner=None),
        execution_options={"synchronize_session": False},
    )
    session.execute(delete(Webhook).where(Webhook.job_id == job.id))
    session.execute(delete(JobTag).where(JobTag.job_id == job.id))
    job.tenant_id, job.upload_id = GONE_TENANT_ID, None
    job.idempotency_key = job.request_hash = job.expires_at = job.error = job.notes = None
    job.name, job.source = "", {}
    job.revision += 1
    session.flush()


def drop_waiting_chunks(session: Session, job_id: uuid.UUID) -> None:
    """Chunks that no worker holds will not run."""
    session.execute(
        update(Chunk)
        .where(Chunk.job_id == job_id, Chunk.state.in_((ChunkState.PENDING, ChunkState.PUBLISHED)))
        .values(state=ChunkState.CANCELLED, due_at=None, owner=None),
        execution_options={"synchronize_session": False},
    )


def lock_job(session: Session, tenant_id: uuid.UUID, job_id: uuid.UUID) -> Job:
    """A tenant's job under its row lock.

    Raises:
        NotFoundError: no such job.
    """
    job = session.scalar(select(Job).where(Job.id == job_id, Job.tenant_id == tenant_id).with_for_update())
    if job is None:
        raise NotFoundError(f"no job {job_id}; list yours with GET /v1/jobs or `dermq jobs`")
    return job


def _lock_held_chunks(session: Session, job_id: uuid.UUID) -> None:
    """Lock the chunks that a worker holds, before their job: whoever finishes one locks in this order, too.

    Only these: cancel and retry change the others under the job's lock.
    """
    held = select(Chunk.chunk_no).where(Chunk.job_id == job_id, Chunk.state == ChunkState.RUNNING)
    session.execute(held.order_by(Chunk.chunk_no).with_for_update())


def _has_running_chunk(session: Session, job_id: uuid.UUID) -> bool:
    return bool(session.scalar(select(exists().where(Chunk.job_id == job_id, Chunk.state == ChunkState.RUNNING))))


def _is_over_budget(job: Job | CountedJob) -> bool:
    return job.error_budget is not None and job.failed > job.error_budget * (job.total or 0)
