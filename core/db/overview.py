"""All rows of a job in columns: the few values by which a grid of pictures is sorted and filtered."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.db.models import Result
from core.db.rawrows import fetch_raw


class OverviewRow(NamedTuple):
    """One row as the database has it."""

    item_no: int
    label: str | None
    risk: float | None
    probabilities: bytes | None  # float32 little-endian [classes]
    notes: str | None  # codes between commas


def read_overview(session: Session, job_id: uuid.UUID, *, limit: int, after: int = -1) -> Sequence[OverviewRow]:
    """Up to `limit` rows behind an item, in the order of the archive."""
    query = (
        select(Result.item_no, Result.label, Result.risk, Result.probabilities, Result.notes)
        .where(Result.job_id == job_id, Result.item_no > after)
        .order_by(Result.item_no)
        .limit(limit)
    )
    return list(map(OverviewRow._make, fetch_raw(session, query)))
