"""Two jobs over the same images, item by item."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.db.models import TERMINAL_STATES, Job, Result
from core.db.rawrows import fetch_raw

_OFFERED = 20


class Seen(NamedTuple):
    """An item as one job has it."""

    item_no: int
    name: bytes
    label: str | None
    risk: float | None
    flag: bool | int | None
    error_code: str | None


@dataclass(frozen=True, slots=True)
class Difference:
    """An item about which two jobs differ: another class, another flag, or another failure."""

    a: Seen
    b: Seen

    @property
    def risk(self) -> float | None:
        """Risk of b less that of a; None if one has none."""
        return None if self.a.risk is None or self.b.risk is None else self.b.risk - self.a.risk


@dataclass(frozen=True, slots=True)
class Compared:
    """What two jobs agree on. Only items that both have, with the same name, are compared."""

    items: int
    only_one: int  # items that the other job does not have, or has under another name
    classified: int  # items to which both give probabilities
    same_label: int  # of these
    same_flag: int
    only_a_flags: int
    only_b_flags: int
    mean_risk: float | None  # mean of the differences' size
    labels: dict[tuple[str, str], int]  # (class of a, class of b): items
    differences: list[Difference]  # what only one could read first, then by the size of the difference in risk


def find_comparable(session: Session, job: Job) -> Sequence[Job]:
    """Other ended jobs of the tenant over the same upload or source, the newest first."""
    same = [Job.upload_id == job.upload_id] if job.upload_id else [Job.upload_id.is_(None), Job.name == job.name]
    query = select(Job).where(Job.tenant_id == job.tenant_id, Job.id != job.id, Job.state.in_(TERMINAL_STATES), *same)
    with session.scalars(query.order_by(Job.id.desc()).execution_options(yield_per=_OFFERED)) as found:
        # A source is JSON, which each database compares in its own way: another one of the same name is passed over here.
        return list(islice((each for each in found if job.upload_id or each.source == job.source), _OFFERED))


def compare_jobs(session: Session, a: uuid.UUID, b: uuid.UUID) -> Compared:
    """Compare all rows of two jobs. Reads both once."""
    rows_a, rows_b = ({row.item_no: row for row in _read(session, job_id)} for job_id in (a, b))
    pairs = [
        (one, rows_b[item]) for item, one in rows_a.items() if item in rows_b and bytes(one.name) == bytes(rows_b[item].name)
    ]
    both = [(one, other) for one, other in pairs if one.label is not None and other.label is not None]
    sizes = [abs(other.risk - one.risk) for one, other in both if one.risk is not None and other.risk is not None]
    differ = [Difference(one, other) for one, other in pairs if _said(one) != _said(other)]
    return Compared(
        items=len(pairs),
        only_one=len(rows_a) + len(rows_b) - 2 * len(pairs),
        classified=len(both),
        same_label=sum(one.label == other.label for one, other in both),
        same_flag=sum(bool(one.flag) == bool(other.flag) for one, other in both),
        only_a_flags=sum(bool(one.flag) and not other.flag for one, other in both),
        only_b_flags=sum(bool(other.flag) and not one.flag for one, other in both),
        mean_risk=sum(sizes) / len(sizes) if sizes else None,
        labels=dict(Counter((one.label or "", other.label or "") for one, other in both)),
        differences=sorted(differ, key=_rank),
    )


def _read(session: Session, job_id: uuid.UUID) -> list[Seen]:
    query = select(Result.item_no, Result.name, Result.label, Result.risk, Result.flag, Result.error_code)
    return list(map(Seen._make, fetch_raw(session, query.where(Result.job_id == job_id).order_by(Result.item_no))))


def _said(row: Seen) -> tuple[str | None, bool, str | None]:
    return row.label, bool(row.flag), row.error_code


def _rank(difference: Difference) -> tuple[float, int]:
    return -2.0 if difference.risk is None else -abs(difference.risk), difference.a.item_no
