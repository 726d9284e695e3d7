"""What a reader decides about a picture: one decision an item, which nobody overwrites without having seen it."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import exists, select, update
from sqlalchemy.orm import Session

from core.db.models import Decision
from core.db.outcomes import insert_ignoring_conflicts
from core.errors import ConflictError


class Verdict(StrEnum):
    """What a reader says of the model's class."""

    AGREE = "agree"  # it is right
    RELABEL = "relabel"  # it is another one
    UNSURE = "unsure"  # this reader cannot tell


@dataclass(frozen=True, slots=True)
class NewDecision:
    """What is to be saved."""

    verdict: Verdict | None  # None: no judgement (yet, or taken back)
    label: str | None  # the class that the reader sees; of an agreement, the model's
    flagged: bool  # to be looked at again
    note: str
    reviewer: str


def find_decision(session: Session, job_id: uuid.UUID, item_no: int) -> Decision | None:
    """The item's decision, if somebody has made one."""
    return session.get(Decision, (job_id, item_no))


def read_decisions(session: Session, job_id: uuid.UUID, numbers: Sequence[int] | None = None) -> dict[int, Decision] | None:
    """Decisions by item: of some items, or all; None where the job has none at all."""
    if not session.scalar(select(exists().where(Decision.job_id == job_id))):
        return None
    query = select(Decision).where(Decision.job_id == job_id)
    if numbers is not None:
        query = query.where(Decision.item_no.in_(numbers))
    return {each.item_no: each for each in session.scalars(query.order_by(Decision.item_no))}


def save_decision(
    session: Session, job_id: uuid.UUID, item_no: int, new: NewDecision, now: datetime, *, expected: int
) -> Decision:
    """Write an item's decision, if it is still the one that its reader has seen.

    Args:
        session: a writing transaction.
        job_id: of a job of the caller's.
        item_no: an item that has a row.
        new: the decision.
        now: the present.
        expected: revision of the decision that the reader has seen; 0: none.

    Raises:
        ConflictError: somebody has decided meanwhile.
    """
    values = {
        "verdict": new.verdict,
        "label": new.label,
        "flagged": new.flagged,
        "note": new.note,
        "reviewer": new.reviewer,
        "decided_at": now,
    }
    key = {"job_id": job_id, "item_no": item_no}
    if expected == 0:
        insert = insert_ignoring_conflicts(session, Decision).values(**key, **values, revision=1)
        saved = session.execute(insert.returning(Decision.revision)).scalar()
    else:
        chosen = (Decision.job_id == job_id, Decision.item_no == item_no, Decision.revision == expected)
        change = update(Decision).where(*chosen).values(**values, revision=expected + 1)
        saved = session.execute(change.returning(Decision.revision)).scalar()
    current = session.scalar(select(Decision).filter_by(**key).execution_options(populate_existing=True))
    if saved is None or current is None:
        raise ConflictError(_conflict(item_no, current, expected))
    return current


def _conflict(item_no: int, current: Decision | None, expected: int) -> str:
    if current is None:
        return f"item {item_no} has no decision: expected revision 0, got {expected}"
    return (
        f"item {item_no} was decided by {current.reviewer} meanwhile: expected revision {current.revision}, got {expected}; "
        "look at it, and send yours again with that revision"
    )
