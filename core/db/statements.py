"""Statements that run for every chunk, built once.

To build a statement of SQLAlchemy and the key of its cache takes ten times the CPU time that the statement itself takes on
SQLite. So what runs for every chunk or batch is built here with parameters, and goes around the ORM's objects.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Float, bindparam, exists, or_, select, update
from sqlalchemy.orm import Session

from core.db.lifecycle import CountedJob
from core.db.models import Base, ChunkState, JobState
from core.db.turns import charge
from core.db.waiting import NOT_WAITING


class TakenChunk(NamedTuple):
    """What a worker has to know of a chunk that it has claimed."""

    attempt: int
    first_item: int
    item_count: int
    picked: list[int] | None
    index_first_item: int
    index_offset: int
    index_length: int
    waits: int
    crashes: int
    bugs: int | None


class JobFacts(NamedTuple):
    """What a worker has to know of the job of a chunk."""

    archive: dict[str, Any] | None
    model: str
    version: int | None
    modelspec: dict[str, Any] | None
    traceparent: str | None
    waiting_for: str | None
    waiting_since: datetime | None


_JOBS, _CHUNKS = Base.metadata.tables["jobs"], Base.metadata.tables["chunks"]

# A chunk that waits, of a job that runs.
_TAKE_CHUNK = (
    update(_CHUNKS)
    .where(
        _CHUNKS.c.job_id == bindparam("at_job"),
        _CHUNKS.c.chunk_no == bindparam("at_chunk"),
        or_(
            _CHUNKS.c.state == ChunkState.PUBLISHED,
            (_CHUNKS.c.state == ChunkState.PENDING) & or_(_CHUNKS.c.due_at.is_(None), _CHUNKS.c.due_at <= bindparam("now")),
        ),
        exists().where(_JOBS.c.id == bindparam("at_job"), _JOBS.c.state == JobState.RUNNING),
    )
    .values(
        state=ChunkState.RUNNING,
        attempt=_CHUNKS.c.attempt + 1,
        owner=bindparam("by"),
        publishes=0,
        started_at=bindparam("now"),
        due_at=bindparam("until"),
    )
    .returning(*(_CHUNKS.c[name] for name in TakenChunk._fields))
)

_READ_JOB = select(*(_JOBS.c[name] for name in JobFacts._fields)).where(_JOBS.c.id == bindparam("at_job"))

_IS_CLAIMED = (
    _CHUNKS.c.job_id == bindparam("at_job"),
    _CHUNKS.c.chunk_no == bindparam("at_chunk"),
    _CHUNKS.c.attempt == bindparam("at_attempt"),
    _CHUNKS.c.state == ChunkState.RUNNING,
)

_END_CHUNK = (
    update(_CHUNKS)
    .where(*_IS_CLAIMED)
    .values(
        succeeded=_CHUNKS.c.succeeded + bindparam("more_succeeded"),
        failed=_CHUNKS.c.failed + bindparam("more_failed"),
        owner=None,
        due_at=None,
        waited_s=bindparam("waited"),
        starved_s=bindparam("starved"),
        state=ChunkState.DONE,
        finished_at=bindparam("now"),
    )
    .returning(_CHUNKS.c.chunk_no)
)

_RENEW_CHUNK = update(_CHUNKS).where(*_IS_CLAIMED).values(due_at=bindparam("until")).returning(_CHUNKS.c.chunk_no)

_COUNTED = {
    "remaining": _JOBS.c.remaining - bindparam("items"),
    "succeeded": _JOBS.c.succeeded + bindparam("more_succeeded"),
    "failed": _JOBS.c.failed + bindparam("more_failed"),
    "revision": _JOBS.c.revision + 1,
    "progress_at": bindparam("now"),
    **charge(bindparam("busy", type_=Float), _JOBS.c),
}
_COUNT_ITEMS = (
    update(_JOBS)
    .where(_JOBS.c.id == bindparam("at_job"))
    .values(**_COUNTED)
    .returning(*(_JOBS.c[name] for name in CountedJob.COLUMNS))
)
_COUNT_ITEMS_AND_GO_ON = _COUNT_ITEMS.values(**NOT_WAITING)


def take_chunk(
    session: Session, job_id: uuid.UUID, chunk_no: int, *, owner: str, now: datetime, until: datetime
) -> TakenChunk | None:
    """Claim a chunk that waits, until then; None if it does not wait, is not due, or its job does not run."""
    session.flush()  # what follows goes around the ORM
    values = {"at_job": job_id, "at_chunk": chunk_no, "by": owner, "now": now, "until": until}
    row = session.connection().execute(_TAKE_CHUNK, values).first()
    return None if row is None else TakenChunk(*row)


def read_job(session: Session, job_id: uuid.UUID) -> JobFacts:
    """Of a job that exists."""
    return JobFacts(*session.connection().execute(_READ_JOB, {"at_job": job_id}).one())


def end_chunk(
    session: Session,
    fence: dict[str, Any],
    *,
    succeeded: int,
    failed: int,
    waited_s: float | None,
    starved_s: float | None,
    now: datetime,
) -> bool:
    """A chunk has all its outcomes; False if it is no longer held under this fence.

    Args:
        session: its transaction.
        fence: `at_job`, `at_chunk` and `at_attempt` of the claim.
        succeeded: items of this run.
        failed: items of this run.
        waited_s: of this run, for answers of Serving.
        starved_s: of this run, ready to run with no core free.
        now: the present.
    """
    counts = {"more_succeeded": succeeded, "more_failed": failed, "waited": waited_s, "starved": starved_s, "now": now}
    return session.connection().execute(_END_CHUNK, fence | counts).first() is not None


def renew_lease(session: Session, fence: dict[str, Any], until: datetime) -> bool:
    """A chunk is held until then; False if it is no longer held under this fence."""
    return session.connection().execute(_RENEW_CHUNK, fence | {"until": until}).first() is not None


def count_items(
    session: Session, job_id: uuid.UUID, *, succeeded: int, failed: int, busy_s: float, goes_on: bool, now: datetime
) -> CountedJob | None:
    """A job has more outcomes; locks its row. None if there is no such job.

    Args:
        session: its transaction.
        job_id: of the job.
        succeeded: items more.
        failed: items more.
        busy_s: for how long a process worked for them (core.db.turns).
        goes_on: it waits for nothing any more; else what it waits for is left as it is.
        now: the present.
    """
    counts: dict[str, Any] = {"items": succeeded + failed, "more_succeeded": succeeded, "more_failed": failed, "now": now}
    counts["busy"] = max(0.0, busy_s)  # a clock may be put back
    statement = _COUNT_ITEMS_AND_GO_ON if goes_on else _COUNT_ITEMS
    row = session.connection().execute(statement, {"at_job": job_id} | counts).first()
    return None if row is None else CountedJob(*row)
