"""All rows of a job in columns: the few values by which a grid of pictures is sorted and filtered."""

from __future__ import annotations

import uuid
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.db.models import Result
from core.db.rawrows import fetch_raw


class OverviewColumns(NamedTuple):
    """Rows as the database has them, column by column: an object for each row would cost more than reading it."""

    item_no: list[int]
    label: list[str | None]
    risk: list[float | None]
    probabilities: list[bytes | None]  # float32 little-endian [classes]
    notes: list[str | None]  # codes between commas
    next: int | None  # the last item, if there are rows behind it


def read_overview(session: Session, job_id: uuid.UUID, *, limit: int, after: int = -1) -> OverviewColumns:
    """Up to `limit` rows behind an item, in the order of the archive."""
    query = (
        select(Result.item_no, Result.label, Result.risk, Result.probabilities, Result.notes)
        .where(Result.job_id == job_id, Result.item_no > after)
        .order_by(Result.item_no)
        .limit(limit + 1)
    )
    found = fetch_raw(session, query)
    item_no, label, risk, probabilities, notes = ([row[at] for row in found[:limit]] for at in range(5))
    return OverviewColumns(item_no, label, risk, probabilities, notes, item_no[-1] if len(found) > limit else None)
