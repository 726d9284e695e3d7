"""What readers decide about a picture: one decision an item and read, which nobody overwrites without having seen it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Any

from sqlalchemy import ColumnElement, exists, select, update
from sqlalchemy.orm import Session

from core.db.models import Decision
from core.db.outcomes import insert_ignoring_conflicts
from core.db.review.tables import FurtherRead
from core.errors import ConflictError

AnyDecision = Decision | FurtherRead


class Verdict(StrEnum):
    """What a reader says of the model's class."""

    AGREE = "agree"  # it is right
    RELABEL = "relabel"  # it is another one
    UNSURE = "unsure"  # this reader cannot tell


class Read(IntEnum):
    """Which look at a picture a decision comes from."""

    FIRST = 1
    SECOND = 2  # by another reader, who does not see the first one's
    SETTLED = 3  # where the two differ: what holds


@dataclass(frozen=True, slots=True)
class NewDecision:
    """What is to be saved."""

    verdict: Verdict | None  # None: no judgement (yet, or taken back)
    label: str | None  # the class that the reader sees; of an agreement, the model's
    flagged: bool  # to be looked at again
    note: str
    reviewer: str


@dataclass(frozen=True, slots=True)
class Decided:
    """What is decided about a job's items."""

    final: Mapping[int, AnyDecision]  # the settled decision, else the first one
    reads: Mapping[int, tuple[AnyDecision | None, AnyDecision | None]] | None  # first and second; None: nothing was read twice


def find_decision(session: Session, job_id: uuid.UUID, item_no: int, read: Read = Read.FIRST) -> AnyDecision | None:
    """The item's decision, if somebody has made one."""
    found: AnyDecision | None = session.scalar(
        select(_table(read)).where(*_rows(job_id, read), _table(read).item_no == item_no)
    )
    return found


def read_decisions(
    session: Session,
    job_id: uuid.UUID,
    numbers: Sequence[int] | None = None,
    *,
    read: Read = Read.FIRST,
    since: datetime | None = None,
) -> dict[int, AnyDecision]:
    """Decisions of one read by item: of some items or all, made at a time or later."""
    table = _table(read)
    query = select(table).where(*_rows(job_id, read))
    if numbers is not None:
        query = query.where(table.item_no.in_(numbers))
    if since is not None:
        query = query.where(table.decided_at >= since)
    return {each.item_no: each for each in session.scalars(query.order_by(table.item_no))}


def read_decided(session: Session, job_id: uuid.UUID, numbers: Sequence[int] | None = None) -> Decided | None:
    """What holds for some items, or all; None where the job has no decision at all."""
    has_more = session.scalar(select(exists().where(FurtherRead.job_id == job_id)))
    if not has_more and not session.scalar(select(exists().where(Decision.job_id == job_id))):
        return None
    first = read_decisions(session, job_id, numbers)
    if not has_more:
        return Decided(first, None)
    second = read_decisions(session, job_id, numbers, read=Read.SECOND)
    settled = read_decisions(session, job_id, numbers, read=Read.SETTLED)
    final = first | {item: each for item, each in settled.items() if each.verdict is not None}
    return Decided(final, {item: (first.get(item), second.get(item)) for item in sorted({*first, *second})})


def find_disagreements(session: Session, job_id: uuid.UUID) -> tuple[int, list[tuple[AnyDecision, AnyDecision]]]:
    """How many items two readers have judged, and the pairs of decisions that differ, in the order of the archive.

    Two decisions differ if their classes do, or if one reader is unsure and the other is not.
    """
    first, second = (read_decisions(session, job_id, read=read) for read in (Read.FIRST, Read.SECOND))
    twice = [(one, second[item]) for item, one in first.items() if item in second and one.verdict and second[item].verdict]
    return len(twice), [(one, other) for one, other in twice if _meant(one) != _meant(other)]


def save_decision(
    session: Session,
    job_id: uuid.UUID,
    item_no: int,
    new: NewDecision,
    now: datetime,
    *,
    expected: int,
    read: Read = Read.FIRST,
) -> AnyDecision:
    """Write an item's decision, if it is still the one that its reader has seen.

    Args:
        session: a writing transaction.
        job_id: of a job of the caller's.
        item_no: an item that has a row.
        new: the decision.
        now: the present.
        expected: revision of the decision that the reader has seen; 0: none.
        read: which look at the picture it is.

    Raises:
        ConflictError: somebody has decided meanwhile, or the other read is by the same reader.
    """
    _check_other_reader(session, job_id, item_no, new, read)
    values = {
        "verdict": new.verdict,
        "label": new.label,
        "flagged": new.flagged,
        "note": new.note,
        "reviewer": new.reviewer,
        "decided_at": now,
    }
    table, mine = _table(read), (*_rows(job_id, read), _table(read).item_no == item_no)
    if expected == 0:
        key: dict[str, Any] = {"job_id": job_id, "item_no": item_no} | ({} if read == Read.FIRST else {"read": int(read)})
        insert = insert_ignoring_conflicts(session, table).values(**key, **values, revision=1)
        saved = session.execute(insert.returning(table.revision)).scalar()
    else:
        change = update(table).where(*mine, table.revision == expected).values(**values, revision=expected + 1)
        saved = session.execute(change.returning(table.revision)).scalar()
    current: AnyDecision | None = session.scalar(select(table).where(*mine).execution_options(populate_existing=True))
    if saved is None or current is None:
        raise ConflictError(_conflict(item_no, current, expected))
    return current


def _check_other_reader(session: Session, job_id: uuid.UUID, item_no: int, new: NewDecision, read: Read) -> None:
    """A second read by the first reader would find no mistake."""
    if read == Read.SETTLED or new.verdict is None:
        return
    other = find_decision(session, job_id, item_no, Read.SECOND if read == Read.FIRST else Read.FIRST)
    if other is not None and other.verdict is not None and other.reviewer.casefold() == new.reviewer.casefold():
        which = "second" if read == Read.FIRST else "first"
        raise ConflictError(
            f"{other.reviewer} made the {which} read of item {item_no}: expected another reader for the other one"
        )


def _table(read: Read) -> Any:
    return Decision if read == Read.FIRST else FurtherRead


def _rows(job_id: uuid.UUID, read: Read) -> list[ColumnElement[bool]]:
    if read == Read.FIRST:
        return [Decision.job_id == job_id]
    return [FurtherRead.job_id == job_id, FurtherRead.read == int(read)]


def _meant(decision: AnyDecision) -> str | None:
    return None if decision.verdict == Verdict.UNSURE else decision.label


def _conflict(item_no: int, current: AnyDecision | None, expected: int) -> str:
    if current is None:
        return f"item {item_no} has no decision: expected revision 0, got {expected}"
    return (
        f"item {item_no} was decided by {current.reviewer} meanwhile: expected revision {current.revision}, got {expected}; "
        "look at it, and send yours again with that revision"
    )
