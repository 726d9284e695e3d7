"""Removes the rows of deleted jobs, a page in each transaction: no other writer waits for a million rows to go.

`core.db.lifecycle.delete_job` has hidden the job before. After an interruption the job stays with the tenant of deleted jobs,
and a sweep goes on until its last row is gone. The job's own row goes last, so that no row is ever without its job.
"""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Sequence

from sqlalchemy import Engine, delete, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from core.db.engine import reading, transaction
from core.db.models import GONE_TENANT_ID, Base, Chunk, Decision, Job, Result
from core.db.review.tables import FurtherRead
from core.db.truth.tables import Truth

PAGE = 1000  # rows in one transaction
# Tables with a row for each item or chunk of a job. The others have few rows for a job: they go with its own row, by cascade.
PAGED: tuple[tuple[type[Base], InstrumentedAttribute[uuid.UUID], InstrumentedAttribute[int]], ...] = (
    (Result, Result.job_id, Result.item_no),
    (Decision, Decision.job_id, Decision.item_no),
    (FurtherRead, FurtherRead.job_id, FurtherRead.item_no),
    (Truth, Truth.job_id, Truth.item_no),
    (Chunk, Chunk.job_id, Chunk.chunk_no),
)
LONGEST_PAUSE_S = 0.5


def list_gone(session: Session, limit: int) -> Sequence[uuid.UUID]:
    """Deleted jobs of which there are rows, the oldest first."""
    return session.scalars(select(Job.id).where(Job.tenant_id == GONE_TENANT_ID).order_by(Job.id).limit(limit)).all()


def erase_page(session: Session, job_id: uuid.UUID, rows: int) -> bool:
    """Remove up to `rows` items' or chunks' rows of a deleted job; then the job itself.

    Returns:
        Whether there is more to remove: False if the job is gone, was never deleted, or another transaction removes its rows.
    """
    mine = (Job.id == job_id, Job.tenant_id == GONE_TENANT_ID)
    if session.scalar(select(Job.id).where(*mine).with_for_update(skip_locked=True)) is None:
        return False
    left = rows
    for table, job, key in PAGED:
        if left <= 0:
            return True
        numbers = session.scalars(select(key).where(job == job_id).order_by(key).limit(left)).all()
        if numbers:
            session.execute(
                delete(table).where(job == job_id, key <= numbers[-1]), execution_options={"synchronize_session": False}
            )
            left -= len(numbers)
    if left <= 0:
        return True
    session.execute(delete(Job).where(*mine), execution_options={"synchronize_session": False})
    return False


def erase_job(engine: Engine, job_id: uuid.UUID, *, seconds: float = math.inf) -> bool:
    """Remove the rows of a deleted job, page after page, and let others write in between.

    Args:
        engine: of the ledger.
        job_id: a deleted job.
        seconds: no page begins later, but for the first.

    Returns:
        Whether there is more to remove.

    Raises:
        DatabaseUnavailableError: as core.db.engine.transaction. What was committed stays removed.
    """
    until = time.monotonic() + seconds
    while True:
        began = time.monotonic()
        with transaction(engine) as session:
            more = erase_page(session, job_id, PAGE)
        now = time.monotonic()
        if not more or now >= until:
            return more
        time.sleep(min(LONGEST_PAUSE_S, now - began))  # SQLite keeps no queue of those who want to write


def erase_for(engine: Engine, seconds: float, *, jobs: int = 200) -> int:
    """Remove rows of deleted jobs for some time, the oldest job first.

    Args:
        engine: of the ledger.
        seconds: no page begins later, but for the first.
        jobs: at most so many.

    Returns:
        How many jobs have no rows any more.

    Raises:
        DatabaseUnavailableError: as core.db.engine.transaction.
    """
    until = time.monotonic() + seconds
    with reading(engine) as session:
        found = list_gone(session, jobs)
    gone = 0
    for job_id in found:
        gone += not erase_job(engine, job_id, seconds=until - time.monotonic())
        if time.monotonic() >= until:
            break
    return gone
