"""The difference hashes of a job's items."""

from __future__ import annotations

import uuid
from contextlib import closing

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from core.db.models import Result
from core.evaluation.arrays import IntArray
from core.evaluation.duplicates import Groups, group_alike

_ROWS = 16_384  # at a time: a list of a million rows would take ten times as much memory as their numbers


def read_duplicates(session: Session, job_id: uuid.UUID) -> Groups | None:
    """The groups of items that look alike; None where no item of the job has a hash. 16 bytes an item while it is made."""
    items, hashes = _read_hashes(session, job_id)
    if not len(items):
        return None
    leaders = group_alike(hashes)
    alone = np.bincount(leaders, minlength=len(items)) == 1
    is_alike = ~alone[leaders]
    return Groups(items[is_alike], items[leaders[is_alike]])


def _read_hashes(session: Session, job_id: uuid.UUID) -> tuple[IntArray, IntArray]:
    """Item numbers and hashes, in the order of the archive."""
    query = select(Result.item_no, Result.difference_hash).where(Result.job_id == job_id, Result.difference_hash.is_not(None))
    pages = []
    with closing(session.execute(query.order_by(Result.item_no).execution_options(stream_results=True))) as result:
        while rows := result.fetchmany(_ROWS):
            pages.append(np.array([tuple(row) for row in rows], np.int64))
    if not pages:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    whole = np.concatenate(pages)
    return np.ascontiguousarray(whole[:, 0]), np.ascontiguousarray(whole[:, 1])
