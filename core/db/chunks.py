"""Chunks as a worker sees them: claim, finish, put back.

Fencing: `attempt` grows with each claim, and every later change names the attempt it was made under, so a worker whose lease
ran out changes nothing. Lock order: chunk, then job. Each function is one transaction's work and may be run again after a lost
COMMIT.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import case, select, update
from sqlalchemy.orm import Session

from core.db.lifecycle import INTERNAL_ERROR_TEXT, fail_job, settle_job
from core.db.models import Chunk, ChunkState, Job, JobState
from core.db.outcomes import ItemOutcome, add_tallies, count_outcomes, insert_outcomes
from core.db.splitting import chunk_items, split_chunk
from core.db.statements import count_items, end_chunk, read_job, renew_lease, take_chunk
from core.db.turns import QUANTUM_S, charge, charge_job, next_chunk
from core.db.waiting import waits
from core.db.webhooks.outbox import emit_progress
from core.errors import JobErrorCode


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to classify one chunk until the lease ends, with all the worker needs to know of chunk and job."""

    job_id: uuid.UUID
    chunk_no: int
    attempt: int
    item_numbers: tuple[int, ...]
    index_first_item: int
    index_offset: int
    index_length: int
    archive: dict[str, Any]
    model: str
    version: int
    modelspec: dict[str, Any]
    waits: int
    crashes: int  # times a worker died on it
    bugs: int = 0  # times that an unforeseen error ended its run
    traceparent: str | None = None  # of what it belongs to
    waiting_for: str | None = None  # what the job waits for
    waiting_since: datetime | None = None
    claimed_at: datetime | None = None

    @property
    def fence(self) -> dict[str, Any]:
        """What each change of the chunk names: see core.db.statements."""
        return {"at_job": self.job_id, "at_chunk": self.chunk_no, "at_attempt": self.attempt}


class BugEnd(StrEnum):
    """What became of a chunk whose run an unforeseen error ended."""

    PUT_BACK = "put_back"
    SPLIT = "split"
    JOB_FAILED = "job_failed"


@dataclass(frozen=True, slots=True)
class ChunkTiming:
    """What the time of a chunk's run went into, besides the work itself: seconds, for core.capacity."""

    waited_s: float  # for answers of Serving
    starved_s: float  # ready to run, with no core free


def claim_chunk(
    session: Session, job_id: uuid.UUID, chunk_no: int, *, owner: str, now: datetime, lease_s: float
) -> Claim | None:
    """Take this very chunk, or return None: done, taken by another, backing off, or its job is not running."""
    chunk = take_chunk(session, job_id, chunk_no, owner=owner, now=now, until=now + timedelta(seconds=lease_s))
    if chunk is None:
        return None
    job = read_job(session, job_id)
    if job.archive is None or job.version is None or job.modelspec is None:
        raise AssertionError(f"job {job_id} runs without archive, version or modelspec: prepare commits them together")
    return Claim(
        job_id=job_id,
        chunk_no=chunk_no,
        attempt=chunk.attempt,
        item_numbers=chunk_items(chunk),
        index_first_item=chunk.index_first_item,
        index_offset=chunk.index_offset,
        index_length=chunk.index_length,
        archive=job.archive,
        model=job.model,
        version=job.version,
        modelspec=job.modelspec,
        waits=chunk.waits,
        crashes=chunk.crashes,
        bugs=chunk.bugs or 0,
        traceparent=job.traceparent,
        waiting_for=job.waiting_for,
        waiting_since=job.waiting_since,
        claimed_at=now,
    )


def claim_next(session: Session, *, owner: str, now: datetime, lease_s: float) -> Claim | None:
    """Take the chunk whose turn it is; None if there is none to be taken."""
    chosen = next_chunk(session, now)
    if chosen is None:
        return None
    job_id, chunk_no = chosen
    return claim_chunk(session, job_id, chunk_no, owner=owner, now=now, lease_s=lease_s)


def renew_chunk(session: Session, claim: Claim, now: datetime, lease_s: float) -> bool:
    """Extend the lease while the chunk runs; False if it was taken over."""
    return renew_lease(session, claim.fence, now + timedelta(seconds=lease_s))


def finish_chunk(
    session: Session,
    claim: Claim,
    outcomes: Sequence[ItemOutcome],
    now: datetime,
    *,
    timing: ChunkTiming | None = None,
    waiting_for: str | None = None,
) -> bool:
    """Commit outcomes; what has no outcome stays open (another job's turn, time limit, outage) or is dropped (cancelled job).

    Args:
        session: its transaction.
        claim: what the outcomes are of.
        outcomes: of all its items, or of those that were finished.
        now: the present.
        timing: where the run's time went.
        waiting_for: the outage that ended the run before its end; None: the job waits for nothing any more.

    Returns:
        False if the claim was no longer valid and nothing was changed.
    """
    if not _end_run(session, claim, outcomes, timing, now):
        return False
    insert_outcomes(session, claim.job_id, claim.version, outcomes)
    failed = sum(outcome.failed for outcome in outcomes)
    counted = count_items(
        session,
        claim.job_id,
        succeeded=len(outcomes) - failed,
        failed=failed,
        busy_s=(now - claim.claimed_at).total_seconds() if claim.claimed_at else 0.0,
        goes_on=waiting_for is None,
        now=now,
    )
    if counted is None:
        raise AssertionError(f"chunk {claim.chunk_no} outlived its job {claim.job_id}: deleting a job deletes its chunks")
    if waiting_for is not None:
        _say_waiting(session, claim.job_id, waiting_for, now)
    add_tallies(session, claim.job_id, count_outcomes(outcomes))
    if counted.goes_on:
        done = {"total": counted.total or 0, "remaining": counted.remaining, "done_now": len(outcomes)}
        emit_progress(session, counted.id, now, **done)
    else:
        settle_job(session, session.get_one(Job, claim.job_id, populate_existing=True), now)
    return True


def _end_run(
    session: Session, claim: Claim, outcomes: Sequence[ItemOutcome], timing: ChunkTiming | None, now: datetime
) -> bool:
    """The chunk is done, or waits with the items that are left; False if the claim is no longer valid."""
    done = {outcome.item_no for outcome in outcomes}
    left = [number for number in claim.item_numbers if number not in done]
    failed = sum(outcome.failed for outcome in outcomes)
    waited_s, starved_s = (timing.waited_s, timing.starved_s) if timing else (None, None)
    if not left:
        counts = {"succeeded": len(outcomes) - failed, "failed": failed}
        return end_chunk(session, claim.fence, **counts, waited_s=waited_s, starved_s=starved_s, now=now)
    values: dict[str, Any] = {
        "succeeded": Chunk.succeeded + len(outcomes) - failed,
        "failed": Chunk.failed + failed,
        "owner": None,
        "due_at": None,
        "waited_s": waited_s,
        "starved_s": starved_s,
        "state": ChunkState.PENDING,
        "picked": left,
    }
    return _change_claimed(session, claim, values)


def _say_waiting(session: Session, job_id: uuid.UUID, waiting_for: str, now: datetime) -> None:
    session.execute(
        update(Job).where(Job.id == job_id).values(**waits(waiting_for, now)),
        execution_options={"synchronize_session": False},
    )


def put_back_chunk(session: Session, claim: Claim, waiting_for: str, due_at: datetime, now: datetime) -> bool:
    """A dependency is unavailable: the chunk waits for `due_at`, no attempt counts, and the job says what it waits for."""
    values = {"state": ChunkState.PENDING, "owner": None, "due_at": due_at, "waits": Chunk.waits + 1}
    if not _change_claimed(session, claim, values):
        return False
    job = session.scalar(
        update(Job)
        .where(Job.id == claim.job_id)
        .values(
            revision=Job.revision + 1,
            **charge(QUANTUM_S),  # or a job whose source does not answer would be next again at once
            **{
                name: case((Job.state == JobState.RUNNING, value), else_=getattr(Job, name))
                for name, value in waits(waiting_for, now, due_at).items()
            },
        )
        .returning(Job),
        execution_options={"synchronize_session": False, "populate_existing": True},
    )
    if job is not None:
        settle_job(session, job, now)
    return True


def note_bug(session: Session, claim: Claim, error_id: str, due_at: datetime, now: datetime, *, max_bugs: int) -> BugEnd | None:
    """An error that nobody foresaw ended this run: count it, and cut the chunk up so that in the end it stands alone.

    A chunk of one item that has failed so twice as often ends the job: not even the code that gives it a row of its own runs.

    Returns:
        What became of the chunk; None if the claim was no longer valid and nothing was changed.
    """
    bugs = claim.bugs + 1
    if not _change_claimed(session, claim, {"state": ChunkState.PENDING, "owner": None, "due_at": due_at, "bugs": bugs}):
        return None
    job = session.scalar(select(Job).where(Job.id == claim.job_id).with_for_update())
    if job is None or job.state != JobState.RUNNING:
        if job is not None:
            settle_job(session, job, now)
        return BugEnd.PUT_BACK
    charge_job(job, QUANTUM_S)
    if bugs >= 2 * max_bugs:
        fail_job(session, job, JobErrorCode.INTERNAL_ERROR, INTERNAL_ERROR_TEXT.format(error_id=error_id), now)
        return BugEnd.JOB_FAILED
    if bugs >= max_bugs and len(claim.item_numbers) > 1:
        chunk = session.get_one(Chunk, (claim.job_id, claim.chunk_no), populate_existing=True)
        split_chunk(session, job, chunk)
        return BugEnd.SPLIT
    return BugEnd.PUT_BACK


def fail_chunk_job(session: Session, claim: Claim, code: JobErrorCode, message: str, now: datetime) -> bool:
    """This chunk met what no image of the job can be read through: drop it and fail the job."""
    if not _change_claimed(session, claim, {"state": ChunkState.CANCELLED, "owner": None, "due_at": None}):
        return False
    job = session.scalar(select(Job).where(Job.id == claim.job_id).with_for_update())
    if job is not None and job.state == JobState.RUNNING and job.version != claim.version:
        _reopen_chunk(session, claim)  # retried on another version meanwhile: what failed here is no fault of that one
    elif job is not None and job.state == JobState.RUNNING:
        fail_job(session, job, code, message.replace("\x00", "\\x00"), now)
    elif job is not None:
        settle_job(session, job, now)
    return True


def _reopen_chunk(session: Session, claim: Claim) -> None:
    session.execute(
        update(Chunk)
        .where(Chunk.job_id == claim.job_id, Chunk.chunk_no == claim.chunk_no, Chunk.attempt == claim.attempt)
        .values(state=ChunkState.PENDING),
        execution_options={"synchronize_session": False},
    )


def _change_claimed(session: Session, claim: Claim, values: dict[str, Any]) -> bool:
    changed = session.execute(
        update(Chunk)
        .where(
            Chunk.job_id == claim.job_id,
            Chunk.chunk_no == claim.chunk_no,
            Chunk.attempt == claim.attempt,
            Chunk.state == ChunkState.RUNNING,
        )
        .values(**values)
        .returning(Chunk.chunk_no),
        execution_options={"synchronize_session": False},
    )
    return changed.first() is not None
