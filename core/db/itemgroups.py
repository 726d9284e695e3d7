"""Items of a job by a cell of the archive's table: patients, lesions. The group's highest risk stands for it."""

from __future__ import annotations

import uuid
from array import array
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.db.models import Result
from core.db.rawrows import fetch_raw, from_json


@dataclass(slots=True)
class ItemGroup:
    """Items of one value of the column."""

    value: str
    items: int = 0
    failed: int = 0
    flagged: int = 0
    risk: float | None = None  # the highest; None: no item has one
    item: int | None = None  # that has it; of equal ones the first
    members: array[int] = field(default_factory=lambda: array("i"))  # item numbers


def read_item_groups(session: Session, job_id: uuid.UUID, column: str) -> list[ItemGroup]:
    """Groups of the rows that are there, the highest risk first; groups without a risk come last, by their value.

    Items whose cell is empty are in no group. Reads all rows of the job once.
    """
    query = select(Result.item_no, Result.risk, Result.flag, Result.error_code, Result.row_metadata)
    chosen = query.where(Result.job_id == job_id, Result.row_metadata.is_not(None)).order_by(Result.item_no)
    found: dict[str, ItemGroup] = {}
    for item, risk, flag, error_code, cells in fetch_raw(session, chosen):
        if value := (from_json(cells) or {}).get(column, "").strip():
            _add(found.setdefault(value, ItemGroup(value)), item, risk, flag=bool(flag), failed=error_code is not None)
    return sorted(found.values(), key=lambda group: (group.risk is None, -(group.risk or 0.0), group.value))


def _add(group: ItemGroup, item: int, risk: float | None, *, flag: bool, failed: bool) -> None:
    group.items += 1
    group.members.append(item)
    group.failed += failed
    group.flagged += flag
    if risk is not None and (group.risk is None or risk > group.risk):
        group.risk, group.item = risk, item
