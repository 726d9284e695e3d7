"""Preparing a job: one worker lists the archive, pins the model version and commits the chunks, fenced by the job's attempt."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from core.db.lifecycle import INTERNAL_ERROR_TEXT, enter_state, fail_job, settle_job
from core.db.models import Chunk, ChunkState, Job, JobState
from core.db.turns import enter_turns
from core.db.waiting import NOT_WAITING, waits
from core.db.window import WindowPolicy, open_window
from core.errors import JobErrorCode
from core.messages import Message


@dataclass(frozen=True, slots=True)
class PrepareClaim:
    """The right to prepare one job until the lease ends."""

    job_id: uuid.UUID
    attempt: int
    source: dict[str, Any]
    model: str
    label: str | None
    version: int | None
    waits: int
    traceparent: str | None = None  # of what submitted it
    bugs: int = 0  # times that an unforeseen error ended a prepare of this job
    waiting_for: str | None = None  # what the job waits for
    waiting_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class ChunkPlan:
    """A run of consecutive items and its slice of the job's index."""

    first_item: int
    item_count: int
    index_offset: int  # bytes
    index_length: int  # bytes
    index_first_item: int | None = None  # of the slice's first line, where it is another than `first_item`


@dataclass(frozen=True, slots=True)
class PreparedJob:
    """What prepare found out."""

    archive: dict[str, Any]
    version: int
    modelspec: dict[str, Any]
    skipped: int
    chunks: Sequence[ChunkPlan]
    metadata_columns: Sequence[str] = ()  # of a table: the columns of its rows' metadata
    traceparent: str | None = None  # of this prepare: its chunks continue from it
    notes: Sequence[dict[str, Any]] = ()  # core.archives.notes.Notes.to_json()

    @property
    def total(self) -> int:
        """Items in the archive."""
        return sum(chunk.item_count for chunk in self.chunks)


def claim_prepare(session: Session, job_id: uuid.UUID, *, owner: str, now: datetime, lease_s: float) -> PrepareClaim | None:
    """Take a queued job, or return None if it is not queued (any more)."""
    job = session.scalar(
        update(Job)
        .where(Job.id == job_id, Job.state == JobState.QUEUED)
        .values(
            state=JobState.PREPARING,
            attempt=Job.attempt + 1,
            owner=owner,
            preparing_at=now,
            due_at=now + timedelta(seconds=lease_s),
            revision=Job.revision + 1,
        )
        .returning(Job),
        execution_options={"synchronize_session": False, "populate_existing": True},
    )
    if job is None:
        return None
    return PrepareClaim(
        job_id=job.id,
        attempt=job.attempt,
        source=job.source,
        model=job.model,
        label=job.requested_label,
        version=job.requested_version,
        waits=job.waits,
        traceparent=job.traceparent,
        bugs=job.bugs or 0,
        waiting_for=job.waiting_for,
        waiting_since=job.waiting_since,
    )


def count_listed_before(session: Session, claim: PrepareClaim) -> int:
    """Archives that are being listed, and were claimed before this one; of two claimed at once, one is before the other."""
    mine = select(Job.preparing_at).where(Job.id == claim.job_id).scalar_subquery()
    is_before = (Job.preparing_at < mine) | ((Job.preparing_at == mine) & (Job.id < claim.job_id))
    query = select(func.count()).where(Job.state == JobState.PREPARING, Job.interactive.is_(False), is_before)
    return session.scalar(query) or 0


def note_opening(session: Session, claim: PrepareClaim) -> None:
    """This attempt begins to open the archive: from now on a death of its process speaks against the archive."""
    _update_claimed(session, claim, {"opened_attempt": claim.attempt})


def note_prepare_bug(
    session: Session, claim: PrepareClaim, error_id: str, due_at: datetime, now: datetime, *, max_bugs: int
) -> None:
    """An error that nobody foresaw ended this attempt: count it, and fail the job in the end."""
    bugs = claim.bugs + 1
    if bugs >= max_bugs:
        fail_prepare(session, claim, JobErrorCode.INTERNAL_ERROR, INTERNAL_ERROR_TEXT.format(error_id=error_id), now)
        return
    values = {"state": JobState.QUEUED, "owner": None, "due_at": due_at, "bugs": bugs, "revision": Job.revision + 1}
    _update_claimed(session, claim, values)


def renew_prepare(session: Session, claim: PrepareClaim, now: datetime, lease_s: float) -> bool:
    """Extend the lease while a long archive is listed; False if the job was cancelled or taken over."""
    return _update_claimed(session, claim, {"due_at": now + timedelta(seconds=lease_s)}) is not None


def put_back_prepare(session: Session, claim: PrepareClaim, waiting_for: str, due_at: datetime, now: datetime) -> bool:
    """A dependency is unavailable: the job is queued again, is due later, and says what it waits for."""
    values = {
        "state": JobState.QUEUED,
        "owner": None,
        "due_at": due_at,
        "waits": Job.waits + 1,
        "revision": Job.revision + 1,
        **waits(waiting_for, now, due_at),
    }
    return _update_claimed(session, claim, values) is not None


def fail_prepare(session: Session, claim: PrepareClaim, code: JobErrorCode, message: str, now: datetime) -> bool:
    """No image can be read through: the job fails."""
    job = _update_claimed(session, claim, {"owner": None})
    if job is None:
        return False
    fail_job(session, job, code, message.replace("\x00", "\\x00"), now)
    return True


def start_job(
    session: Session, claim: PrepareClaim, prepared: PreparedJob, policy: WindowPolicy, now: datetime
) -> list[Message] | None:
    """Commit the chunks, pin the version, open the window.

    Returns:
        Messages to send after the commit, or None if the claim was no longer valid and nothing was changed.
    """
    job = _update_claimed(session, claim, {"owner": None, "due_at": None, "crashes": 0, "bugs": 0, **NOT_WAITING})
    if job is None:
        return None
    rows = [
        {
            "job_id": claim.job_id,
            "chunk_no": number,
            "first_item": plan.first_item,
            "item_count": plan.item_count,
            "index_first_item": plan.first_item if plan.index_first_item is None else plan.index_first_item,
            "index_offset": plan.index_offset,
            "index_length": plan.index_length,
            "state": ChunkState.PENDING,
        }
        for number, plan in enumerate(prepared.chunks)
    ]
    if rows:
        session.execute(insert(Chunk), rows)
    job.archive = prepared.archive
    job.metadata_columns = list(prepared.metadata_columns) or None
    job.traceparent = prepared.traceparent or job.traceparent
    job.version = prepared.version
    job.modelspec = prepared.modelspec
    job.total = job.remaining = prepared.total
    job.skipped = prepared.skipped
    job.notes = list(prepared.notes)
    job.chunk_count = len(rows)
    enter_turns(session, job)
    enter_state(job, JobState.RUNNING, now)
    settle_job(session, job, now)  # an archive without items is done at once
    session.flush()
    return open_window(session, job, policy, now)


def _update_claimed(session: Session, claim: PrepareClaim, values: dict[str, Any]) -> Job | None:
    return session.scalar(
        update(Job)
        .where(Job.id == claim.job_id, Job.attempt == claim.attempt, Job.state == JobState.PREPARING)
        .values(**values)
        .returning(Job),
        execution_options={"synchronize_session": False, "populate_existing": True},
    )
