"""Statements that run for every chunk, built once.

To build a statement of SQLAlchemy and the key of its cache takes ten times the CPU time that the statement itself takes on
SQLite. So what runs for every chunk or batch is built here with parameters, and goes around the ORM's objects.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import Float, bindparam, update
from sqlalchemy.orm import Session

from core.db.lifecycle import CountedJob
from core.db.models import Base, ChunkState
from core.db.turns import charge
from core.db.waiting import NOT_WAITING

_JOBS, _CHUNKS = Base.metadata.tables["jobs"], Base.metadata.tables["chunks"]

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
