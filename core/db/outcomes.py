"""Outcomes of items, on their way into the ledger."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Insert, case, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from core.db.models import ItemState, Result, Tally
from core.errors import ItemError, ItemErrorCode
from core.notes import ItemNote


@dataclass(frozen=True, slots=True)
class ItemOutcome:
    """What became of one item: probabilities, or a code and a sentence."""

    item_no: int
    name: str  # exactly as in the archive
    label: str | None = None
    score: float | None = None
    risk: float | None = None
    probabilities: bytes | None = None  # float32 little-endian [classes]
    flag: bool | None = None
    novelty: float | None = None  # None: failed, or the model version has no such output
    uncertainty: float | None = None  # None: failed, or there is a risk
    width: int | None = None  # pixels
    height: int | None = None
    error_code: ItemErrorCode | None = None
    error: str | None = None
    notes: tuple[ItemNote, ...] = ()  # only of an item that was classified
    metadata: dict[str, str] | None = None  # the other cells of its row in a table, by column

    @classmethod
    def from_error(cls, item_no: int, name: str, error: ItemError) -> ItemOutcome:
        """A failed item."""
        return cls(item_no, name, error_code=error.code, error=str(error).replace("\x00", "\\x00"))

    @property
    def failed(self) -> bool:
        return self.error_code is not None

    @property
    def counted_as(self) -> tuple[str, str]:
        """Labels of the metric dermq_items: outcome, and code of a failed one."""
        return ("failed", str(self.error_code)) if self.failed else ("succeeded", "")


def name_to_bytes(name: str) -> bytes:
    """Names travel as bytes: an archive's name may be no valid UTF-8, and PostgreSQL's text takes no NUL."""
    return name.encode("utf-8", "surrogateescape")


def name_from_bytes(value: bytes) -> str:
    """The inverse of `name_to_bytes`."""
    return value.decode("utf-8", "surrogateescape")


def join_notes(notes: Sequence[ItemNote]) -> str | None:
    """Notes as the ledger holds them: codes between commas, None where there are none."""
    return ",".join(notes) or None


def insert_ignoring_conflicts(session: Session, table: type) -> Insert:
    """INSERT … ON CONFLICT DO NOTHING in the dialect at hand."""
    if session.get_bind().dialect.name == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    return sqlite.insert(table).on_conflict_do_nothing()


def insert_outcomes(session: Session, job_id: uuid.UUID, version: int | None, outcomes: Sequence[ItemOutcome]) -> None:
    """Insert rows; idempotent on (job_id, item_no)."""
    if not outcomes:
        return
    rows = [
        {
            "job_id": job_id,
            "item_no": outcome.item_no,
            "name": name_to_bytes(outcome.name),
            "state": ItemState.FAILED if outcome.failed else ItemState.SUCCEEDED,
            "label": outcome.label,
            "score": outcome.score,
            "risk": outcome.risk,
            "probabilities": outcome.probabilities,
            "flag": outcome.flag,
            "error_code": outcome.error_code,
            "error": outcome.error,
            "width": outcome.width,
            "height": outcome.height,
            "version": version,
            "novelty": outcome.novelty,
            "uncertainty": outcome.uncertainty,
            "notes": join_notes(outcome.notes),
            "row_metadata": outcome.metadata or None,
        }
        for outcome in outcomes
    ]
    session.execute(insert_ignoring_conflicts(session, Result), rows)


def add_tallies(session: Session, job_id: uuid.UUID, counts: Counter[tuple[str, str]]) -> None:
    """Add to (or, with negative counts, take from) the job's tallies.

    Rows are touched in sorted order, behind the job's row lock, so two transactions cannot deadlock on them.
    """
    for (kind, name), items in sorted(counts.items()):
        if not items:
            continue
        session.execute(insert_ignoring_conflicts(session, Tally), [{"job_id": job_id, "kind": kind, "name": name, "items": 0}])
        session.execute(
            update(Tally)
            .where(Tally.job_id == job_id, Tally.kind == kind, Tally.name == name)
            .values(items=case((Tally.items + items < 0, 0), else_=Tally.items + items)),
            execution_options={"synchronize_session": False},
        )


def count_outcomes(outcomes: Sequence[ItemOutcome]) -> Counter[tuple[str, str]]:
    """Tallies of some outcomes: ("label", name), ("error", code) and ("note", code) → items."""
    counts = Counter(
        ("error", str(outcome.error_code)) if outcome.failed else ("label", str(outcome.label)) for outcome in outcomes
    )
    counts.update(("note", str(note)) for outcome in outcomes for note in outcome.notes)
    return counts
