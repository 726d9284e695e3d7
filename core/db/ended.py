"""A job of one image that somebody has classified already: all its rows in one transaction, as the queue's way leaves them.

So a process that is killed leaves either nothing of the job or the whole of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from core.db.chunks import ChunkTiming
from core.db.jobs import NewJob, create_job
from core.db.lifecycle import enter_state
from core.db.models import Chunk, ChunkState, JobState
from core.db.outcomes import ItemOutcome, add_tallies, count_outcomes, insert_outcomes
from core.db.preparing import PreparedJob
from core.db.turns import enter_turns


@dataclass(frozen=True, slots=True)
class EndedJob:
    """What is to be written of a job of one image."""

    new: NewJob
    prepared: PreparedJob  # with one chunk of one item
    outcome: ItemOutcome
    began: datetime  # when it was taken up
    timing: ChunkTiming


def insert_ended_job(session: Session, ended: EndedJob, now: datetime) -> None:
    """Insert upload, job, chunk, row and tallies. The job has succeeded, whatever became of its image.

    Raises:
        ValueError: the job has an error budget, by which it might have failed, or more than one item.
        sqlalchemy.exc.IntegrityError: another request used the same idempotency key at the same time.
    """
    new, prepared, failed = ended.new, ended.prepared, int(ended.outcome.failed)
    if new.error_budget is not None or prepared.total != 1:
        raise ValueError(f"expected one item and no error budget, got {prepared.total} and {new.error_budget}")
    job = create_job(session, new, ended.began)
    enter_state(job, JobState.PREPARING, ended.began)
    job.attempt = job.opened_attempt = 1
    job.due_at, job.crashes, job.bugs = None, 0, 0
    job.archive, job.version, job.modelspec = prepared.archive, prepared.version, prepared.modelspec
    job.metadata_columns = list(prepared.metadata_columns) or None
    job.traceparent = prepared.traceparent or job.traceparent
    job.skipped, job.notes = prepared.skipped, list(prepared.notes)
    job.total, job.chunk_count = 1, 1
    enter_state(job, JobState.RUNNING, ended.began)
    enter_turns(session, job)
    job.succeeded, job.failed, job.progress_at = 1 - failed, failed, now
    job.revision += 1
    enter_state(job, JobState.SUCCEEDED, now)
    session.add(_chunk(ended, failed, now))
    session.flush()
    insert_outcomes(session, new.id, prepared.version, [ended.outcome])
    add_tallies(session, new.id, count_outcomes([ended.outcome]))


def _chunk(ended: EndedJob, failed: int, now: datetime) -> Chunk:
    [plan] = ended.prepared.chunks
    return Chunk(
        job_id=ended.new.id,
        chunk_no=0,
        first_item=plan.first_item,
        item_count=plan.item_count,
        index_first_item=plan.first_item,
        index_offset=plan.index_offset,
        index_length=plan.index_length,
        state=ChunkState.DONE,
        attempt=1,
        succeeded=1 - failed,
        failed=failed,
        started_at=ended.began,
        finished_at=now,
        waited_s=ended.timing.waited_s,
        starved_s=ended.timing.starved_s,
    )
