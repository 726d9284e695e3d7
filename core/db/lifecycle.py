"""How a job ends, is stopped, and starts again. The only places that set a job's terminal state."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, exists, select, update
from sqlalchemy.orm import Session

from core.db.models import (
    TERMINAL_STATES,
    Chunk,
    ChunkState,
    ItemState,
    Job,
    JobState,
    Result,
    Upload,
)
from core.db.outcomes import add_tallies
from core.db.tombstones import bury
from core.errors import ConflictError, JobErrorCode, NotFoundError
from core.storage.layout import job_prefix, upload_prefix

_STAMPS = {
    JobState.PREPARING: "preparing_at",
    JobState.RUNNING: "running_at",
    JobState.CANCELLING: "cancelling_at",
    JobState.SUCCEEDED: "succeeded_at",
    JobState.FAILED: "failed_at",
    JobState.CANCELLED: "cancelled_at",
}

INTERNAL_ERROR_TEXT = (
    "DermQ met an error that it does not know, again and again; the worker's log has it as error_id {error_id}: "
    "please report it with these lines, and retry the job when it is mended"
)


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
        job.waiting_for = None


def settle_job(session: Session, job: Job, now: datetime) -> None:
    """End the job if nothing of it is left to do. Called under the job's row lock after each change of a chunk."""
    if job.state != JobState.RUNNING:
        drop_waiting_chunks(session, job.id)
        if job.state == JobState.CANCELLING and not _has_running_chunk(session, job.id):
            enter_state(job, JobState.CANCELLED, now)
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
    job = _lock_job(session, tenant_id, job_id)
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


@dataclass(frozen=True, slots=True)
class Repin:
    """The version that the rest of a job runs on instead of the one it was pinned to."""

    version: int
    modelspec: dict[str, Any]


def retry_job(
    session: Session,
    tenant_id: uuid.UUID,
    job_id: uuid.UUID,
    now: datetime,
    codes: Collection[str] | None = None,
    *,
    repin: Repin | None = None,
) -> Job:
    """Run failed items again: all of them and whatever never ran, or only those with the given error codes.

    Args:
        session: its transaction is to be rolled back on an error.
        tenant_id: whose job.
        job_id: an ended one.
        now: the present.
        codes: only items that failed with one of these.
        repin: run them on another version; rows that are there keep the version that saw them.

    Raises:
        NotFoundError: no such job.
        ConflictError: the job has not ended, nothing of it can be retried, or the other version's rows would not mean the same.
    """
    job = _lock_job(session, tenant_id, job_id)
    if job.state not in TERMINAL_STATES:
        raise ConflictError(f"job {job_id} is {job.state}: expected an ended job; wait for it or cancel it first")
    job.error_code = job.error = None
    for stamp in ("cancelling_at", "succeeded_at", "failed_at", "cancelled_at"):
        setattr(job, stamp, None)
    if repin is not None:
        _repin(job, repin)
    if job.archive is None:  # it failed before its archive was listed: start from the beginning
        job.attempt += 1
        job.crashes = job.bugs = 0
        job.due_at = now
        enter_state(job, JobState.QUEUED, now)
        return job
    reopened = _reopen_dropped_chunks(session, job_id) if codes is None else 0
    again = _reopen_failed_items(session, job, codes)
    if not reopened and not again:
        wanted = f" with codes {sorted(codes)}" if codes else ""
        raise ConflictError(f"job {job_id} has no failed items{wanted} to retry")
    job.remaining += again
    enter_state(job, JobState.RUNNING, now)
    session.flush()
    return job


def _repin(job: Job, repin: Repin) -> None:
    """Pin an ended job to another version.

    Raises:
        ConflictError: its classes or their risk are others: rows of one job must mean the same.
    """
    if job.modelspec is None:  # it never started: prepare asks for this very version
        job.requested_label, job.requested_version = None, repin.version
        return
    for key in ("classes", "malignant"):
        old, new = list(job.modelspec.get(key, ())), list(repin.modelspec.get(key, ()))
        if old != new:
            raise ConflictError(
                f"job {job.id} cannot go on with {job.model} version {repin.version}: expected its {key} to be {old} as in "
                f"version {job.version}, got {new}; submit the images again as a new job"
            )
    job.version, job.modelspec = repin.version, repin.modelspec


def delete_job(session: Session, tenant_id: uuid.UUID, job_id: uuid.UUID, now: datetime) -> list[str]:
    """Remove an ended job and its rows, and mark what it has in the storage for deletion.

    Returns:
        The storage prefixes that are marked (core.db.tombstones): they may go after the commit.

    Raises:
        NotFoundError: no such job.
        ConflictError: it still runs.
    """
    _lock_held_chunks(session, job_id)
    job = _lock_job(session, tenant_id, job_id)
    if job.state not in TERMINAL_STATES:
        raise ConflictError(f"job {job_id} is {job.state}: expected an ended job; cancel it first")
    prefixes = [job_prefix(job.id)]
    upload_id = job.upload_id
    if upload_id is not None:  # two jobs on one upload that are deleted together must not each wait for the other to go
        session.execute(select(Upload.id).where(Upload.id == upload_id).with_for_update())
    session.delete(job)
    session.flush()
    if upload_id is not None and not session.scalar(select(exists().where(Job.upload_id == upload_id))):
        session.execute(delete(Upload).where(Upload.id == upload_id))
        prefixes.append(upload_prefix(upload_id))
    bury(session, prefixes, now)
    return prefixes


def drop_waiting_chunks(session: Session, job_id: uuid.UUID) -> None:
    """Chunks that no worker holds will not run."""
    session.execute(
        update(Chunk)
        .where(Chunk.job_id == job_id, Chunk.state.in_((ChunkState.PENDING, ChunkState.PUBLISHED)))
        .values(state=ChunkState.CANCELLED, due_at=None, owner=None),
        execution_options={"synchronize_session": False},
    )


def _lock_job(session: Session, tenant_id: uuid.UUID, job_id: uuid.UUID) -> Job:
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


def _is_over_budget(job: Job) -> bool:
    return job.error_budget is not None and job.failed > job.error_budget * (job.total or 0)


def _reopen_dropped_chunks(session: Session, job_id: uuid.UUID) -> int:
    """Chunks dropped by a cancel or an exhausted budget wait again; their items are still in `remaining`."""
    reopened = session.execute(
        update(Chunk)
        .where(Chunk.job_id == job_id, Chunk.state == ChunkState.CANCELLED)
        .values(state=ChunkState.PENDING, crashes=0, bugs=0, waits=0, publishes=0, due_at=None)
        .returning(Chunk.chunk_no),
        execution_options={"synchronize_session": False},
    )
    return len(reopened.all())


def _reopen_failed_items(session: Session, job: Job, codes: Collection[str] | None) -> int:
    """Take failed rows back and make new chunks of their items; returns how many items."""
    chosen = [Result.job_id == job.id, Result.state == ItemState.FAILED]
    if codes is not None:
        chosen.append(Result.error_code.in_(codes))
    rows = session.execute(select(Result.item_no, Result.error_code).where(*chosen).order_by(Result.item_no)).all()
    if not rows:
        return 0
    numbers = [number for number, _ in rows]
    for origin, picked in _group_by_chunk(session, job.id, numbers):
        session.add(
            Chunk(
                job_id=job.id,
                chunk_no=job.chunk_count,
                first_item=origin.first_item,
                item_count=origin.item_count,
                picked=picked,
                index_first_item=origin.index_first_item,
                index_offset=origin.index_offset,
                index_length=origin.index_length,
                state=ChunkState.PENDING,
            )
        )
        job.chunk_count += 1
    session.flush()
    session.execute(delete(Result).where(*chosen), execution_options={"synchronize_session": False})
    add_tallies(session, job.id, Counter({("error", str(code)): -count for code, count in Counter(c for _, c in rows).items()}))
    job.failed -= len(numbers)
    return len(numbers)


def _group_by_chunk(session: Session, job_id: uuid.UUID, numbers: list[int]) -> Iterator[tuple[Chunk, list[int]]]:
    """Pair ascending item numbers with the widest chunk that covers them; later, narrower chunks of a range are passed over."""
    chunks = session.scalars(
        select(Chunk).where(Chunk.job_id == job_id).order_by(Chunk.first_item, Chunk.item_count.desc(), Chunk.chunk_no)
    ).all()
    position = 0
    for chunk in chunks:
        end = chunk.first_item + chunk.item_count
        start = position
        while position < len(numbers) and numbers[position] < end:
            position += 1
        if position > start:
            yield chunk, numbers[start:position]
