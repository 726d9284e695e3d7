"""Save, read and remove the truth of a job."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import delete, exists, insert, select
from sqlalchemy.orm import Session

from core.db.models import Result
from core.db.rawrows import fetch_raw, from_json
from core.db.truth.tables import Truth, TruthSet

_ROWS = 5000  # of one statement


def save_truth(
    session: Session, job_id: uuid.UUID, labels: Mapping[int, str], summary: Mapping[str, Any], now: datetime
) -> TruthSet:
    """Replace the truth of a job.

    Args:
        session: a writing transaction that holds the job's row (get_job with `lock`).
        job_id: of a job of the caller's.
        labels: item → true class.
        summary: where it comes from, ready for JSON.
        now: the present.
    """
    known = session.get(TruthSet, job_id)
    revision = 1 if known is None else known.revision + 1
    remove_truth(session, job_id)
    rows = [{"job_id": job_id, "item_no": item, "label": label} for item, label in sorted(labels.items())]
    for at in range(0, len(rows), _ROWS):
        session.execute(insert(Truth), rows[at : at + _ROWS])
    found = TruthSet(job_id=job_id, revision=revision, added_at=now, summary=dict(summary))
    session.add(found)
    session.flush()
    return found


def remove_truth(session: Session, job_id: uuid.UUID) -> None:
    """Forget the truth of a job; nothing happens where there is none."""
    session.execute(delete(Truth).where(Truth.job_id == job_id))
    session.execute(delete(TruthSet).where(TruthSet.job_id == job_id))
    session.expire_all()


def find_truth_set(session: Session, job_id: uuid.UUID) -> TruthSet | None:
    """What is known of a job's truth, None where there is none."""
    return session.get(TruthSet, job_id)


def read_truths(session: Session, job_id: uuid.UUID, numbers: Sequence[int] | None = None) -> dict[int, str] | None:
    """True classes by item: of some items, or all; None where the job has no truth at all."""
    if not session.scalar(select(exists().where(TruthSet.job_id == job_id))):
        return None
    query = select(Truth.item_no, Truth.label).where(Truth.job_id == job_id)
    if numbers is not None:
        query = query.where(Truth.item_no.in_(numbers))
    return {row.item_no: row.label for row in session.execute(query.order_by(Truth.item_no))}


class NamedItem(NamedTuple):
    """An item, and what the archive says of it."""

    item_no: int
    name: bytes  # exactly as in the archive
    metadata: dict[str, str] | None


def read_named_items(session: Session, job_id: uuid.UUID) -> Iterator[NamedItem]:
    """All items that have a row, in the order of the archive."""
    query = select(Result.item_no, Result.name, Result.row_metadata).where(Result.job_id == job_id).order_by(Result.item_no)
    for row in session.execute(query.execution_options(yield_per=_ROWS)):
        yield NamedItem(*row)


class JudgedItem(NamedTuple):
    """One row beside its truth."""

    item_no: int
    truth: str | None
    probabilities: bytes | None  # float32 little-endian [classes]; None: the item failed
    risk: float | None
    version: int | None
    metadata: dict[str, str]  # empty where the archive has no table


def read_judged_items(session: Session, job_id: uuid.UUID) -> Sequence[JudgedItem]:
    """All rows of a job with their truth, in the order of the archive."""
    query = (
        select(Result.item_no, Truth.label, Result.probabilities, Result.risk, Result.version, Result.row_metadata)
        .join_from(Result, Truth, (Truth.job_id == Result.job_id) & (Truth.item_no == Result.item_no), isouter=True)
        .where(Result.job_id == job_id)
        .order_by(Result.item_no)
    )
    rows = map(JudgedItem._make, fetch_raw(session, query))
    return [row._replace(metadata=from_json(row.metadata) or {}) for row in rows]
