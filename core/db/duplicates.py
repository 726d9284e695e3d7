"""The difference hashes of a job's items."""

from __future__ import annotations

import uuid

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from core.db.models import Result
from core.evaluation.arrays import IntArray
from core.evaluation.duplicates import group_alike


def read_duplicates(session: Session, job_id: uuid.UUID) -> dict[int, int] | None:
    """Item → the first item of its group, of items that look like another one; None where no item of the job has a hash."""
    query = select(Result.item_no, Result.difference_hash).where(Result.job_id == job_id, Result.difference_hash.is_not(None))
    rows = session.execute(query.order_by(Result.item_no)).all()
    if not rows:
        return None
    items, hashes = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    return _groups(items, group_alike(hashes))


def _groups(items: IntArray, leaders: IntArray) -> dict[int, int]:
    alone = np.bincount(leaders, minlength=len(items)) == 1
    return {int(item): int(items[leader]) for item, leader in zip(items, leaders, strict=True) if not alone[leader]}
