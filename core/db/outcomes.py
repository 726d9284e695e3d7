"""Outcomes of items, on their way into the ledger."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Insert, case, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from core.db.bulk import insert_rows
from core.db.models import Base, ItemState, Tally
from core.errors import ItemError, ItemErrorCode
from core.notes import ItemNote
from core.plaintext import plain_text

_RESULT_COLUMNS = (
    *("job_id", "item_no", "name", "state", "label", "score", "risk", "probabilities", "flag", "error_code", "error"),
    *("width", "height", "version", "novelty", "uncertainty", "notes", "metadata", "difference_hash"),
)
_TALLY_COLUMNS = ("job_id", "kind", "name", "items")
_ADD_UP = "(job_id, kind, name) DO UPDATE SET items = tallies.items + excluded.items"


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
    difference_hash: int | None = None  # of the picture: core.imaging.differencehash; None: failed, or switched off
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
    rows = [
        (
            job_id,
            outcome.item_no,
            name_to_bytes(outcome.name),
            ItemState.FAILED if outcome.failed else ItemState.SUCCEEDED,
            outcome.label,
            outcome.score,
            outcome.risk,
            outcome.probabilities,
            outcome.flag,
            outcome.error_code,
            outcome.error,
            outcome.width,
            outcome.height,
            version,
            outcome.novelty,
            outcome.uncertainty,
            join_notes(outcome.notes),
            outcome.metadata or None,
            outcome.difference_hash,
        )
        for outcome in outcomes
    ]
    insert_rows(session.connection(), Base.metadata.tables["results"], _RESULT_COLUMNS, rows, "DO NOTHING")


def add_tallies(session: Session, job_id: uuid.UUID, counts: Counter[tuple[str, str]]) -> None:
    """Add to (or, with negative counts, take from) the job's tallies.

    Rows are touched in sorted order, behind the job's row lock, so two transactions cannot deadlock on them.
    """
    stored: Counter[tuple[str, str]] = Counter()  # by the names that the ledger holds: no row may occur twice in one statement
    for (kind, name), items in counts.items():
        stored[kind, plain_text(name)] += items
    added = [(job_id, *key, items) for key, items in sorted(stored.items()) if items > 0]
    insert_rows(session.connection(), Base.metadata.tables["tallies"], _TALLY_COLUMNS, added, _ADD_UP)
    for (kind, name), items in sorted(stored.items()):
        if items < 0:
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
