"""The read side of results: pages, counts and export batches, all by keyset, never by OFFSET.

Order `risk` and `-risk`: rows that have a risk first, by (risk, item), the one direction the exact reverse of the other; then
the rows that have none, failed ones and those of a model without malignant classes, by item. So each part is a plain range of
one index on both databases, wherever they sort NULL. Likewise `novelty`, which not every version measures, and `uncertainty`,
which only rows without a risk have.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Engine, Select, exists, func, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from core.db.engine import reading
from core.db.jobs import read_progress
from core.db.models import Chunk, ItemState, Result
from core.db.rawrows import fetch_raw, from_json
from core.db.truth.tables import Truth
from core.errors import NotFoundError
from core.notes import ItemNote
from core.precision import highest, lowest

# Rows per reading transaction of an export: some 25 ms, for which a SQLite writer may have to wait.
EXPORT_BATCH = 8_192
_LONGEST_PAGE = 1000  # rows; more are a file's
_FIRST_BATCH = 1024  # of an export: somebody waits for the first byte; each batch is twice as long as the one before


class ResultSort(StrEnum):
    """In which order rows come."""

    ITEM = "item"  # as in the archive
    RISK = "risk"  # harmless first
    RISK_DESCENDING = "-risk"  # riskiest first
    NOVELTY = "novelty"  # most like the training pictures first
    NOVELTY_DESCENDING = "-novelty"  # most unlike them first
    UNCERTAINTY = "uncertainty"  # what the model is surest of first
    UNCERTAINTY_DESCENDING = "-uncertainty"  # what it is least sure of first

    @property
    def column(self) -> str:
        """Name of the column that rows are sorted by; of ITEM, no column's."""
        return self.value.removeprefix("-")


class ResultRow(NamedTuple):
    """One row as the database has it; the order of the fields is the order of `_COLUMNS`."""

    item_no: int
    name: bytes  # exactly as in the archive
    state: str
    label: str | None
    score: float | None
    risk: float | None
    probabilities: bytes | None  # float32 little-endian [classes]
    flag: bool | int | None  # SQLite has no booleans: 0 or 1
    error_code: str | None
    error: str | None
    width: int | None  # pixels
    height: int | None
    version: int | None
    novelty: float | None
    uncertainty: float | None
    notes: str | None  # codes between commas
    metadata: dict[str, str] | None = None  # the other cells of its row in a table, by column


_COLUMNS = (
    Result.item_no,
    Result.name,
    Result.state,
    Result.label,
    Result.score,
    Result.risk,
    Result.probabilities,
    Result.flag,
    Result.error_code,
    Result.error,
    Result.width,
    Result.height,
    Result.version,
    Result.novelty,
    Result.uncertainty,
    Result.notes,
    Result.row_metadata,
)


_as_row = partial(tuple.__new__, ResultRow)  # ResultRow._make without a call of Python per row


@dataclass(frozen=True, slots=True)
class ResultFilter:
    """Which rows are wanted; None takes all. Limits of risk and novelty mean them as they are shown (core.precision)."""

    label: str | None = None
    min_risk: float | None = None
    max_risk: float | None = None
    state: ItemState | None = None
    flagged: bool | None = None
    error_code: str | None = None
    note: ItemNote | None = None
    min_novelty: float | None = None
    truth: str | None = None  # the true class

    def conditions(self) -> list[ColumnElement[bool]]:
        """As SQL, for any part of the table."""
        wanted: list[ColumnElement[bool]] = []
        if self.label is not None:
            wanted.append(Result.label == self.label)
        if self.min_risk is not None:
            wanted.append(Result.risk >= lowest(self.min_risk))
        if self.max_risk is not None:
            wanted.append(Result.risk <= highest(self.max_risk))
        if self.min_novelty is not None:
            wanted.append(Result.novelty >= lowest(self.min_novelty))
        if self.state is not None:
            wanted.append(Result.state == self.state)
        if self.flagged is not None:
            wanted.append(Result.flag.is_(self.flagged))
        if self.error_code is not None:
            wanted.append(Result.error_code == self.error_code)
        if self.note is not None:
            # No code contains another one between commas. Of the rows, those with notes are read, by partial indexes.
            wanted.append(Result.notes.is_not(None))
            wanted.append(("," + Result.notes + ",").contains(f",{self.note},", autoescape=True))
        if self.truth is not None:
            of_row = (Truth.job_id == Result.job_id, Truth.item_no == Result.item_no)
            wanted.append(exists().where(*of_row, Truth.label == self.truth))
        if self.only_failed:
            wanted.append(Result.risk.is_(None))  # true of every failed row, and the way to find them by an index
        return wanted

    @property
    def only_failed(self) -> bool:
        """Whether only rows without probabilities can match."""
        return self.state == ItemState.FAILED or self.error_code is not None

    def may_lack(self, sort: ResultSort) -> bool:
        """Whether rows can match that have nothing to be sorted by."""
        limits = {"novelty": (self.min_novelty,), "risk": (self.min_risk, self.max_risk, self.flagged)}
        return all(value is None for value in limits.get(sort.column, ()))


@dataclass(frozen=True, slots=True)
class Position:
    """The row after which a page begins. `value`, what rows are sorted by, is None in item order, and among rows without it."""

    item_no: int
    value: float | None = None


def position_of(row: ResultRow, sort: ResultSort) -> Position:
    """Where the page after this row begins."""
    return Position(row.item_no, None if sort == ResultSort.ITEM else getattr(row, sort.column))


def read_results(
    session: Session,
    job_id: uuid.UUID,
    *,
    chosen: ResultFilter,
    sort: ResultSort,
    limit: int,
    after: Position | None = None,
) -> Sequence[ResultRow]:
    """Up to `limit` rows behind a position. The last page costs what the first does.

    While a job runs, rows may still appear on either side of the position.
    """
    if sort == ResultSort.ITEM:
        null = "risk" if chosen.only_failed else ""
        return _fetch_first(session, _by_item(_select(job_id, chosen), after, null=null), limit, job_id, chosen)
    rows: list[ResultRow] = []
    if not chosen.only_failed and (after is None or after.value is not None):
        rows += _fetch_first(session, _by_value(_select(job_id, chosen), sort, after), limit, job_id, chosen)
    if len(rows) < limit and chosen.may_lack(sort):
        without = _select(job_id, chosen).where(_column(sort).is_(None))
        behind = after if after is not None and after.value is None else None
        if chosen.label is None or _any(session, without):
            query = _by_item(without, behind, null=sort.column)
            rows += _fetch_first(session, query, limit - len(rows), job_id, chosen)
    return rows


def find_result(session: Session, job_id: uuid.UUID, item_no: int) -> ResultRow:
    """One item's row.

    Raises:
        NotFoundError: there is none (yet).
    """
    rows = _fetch(session, _select(job_id, ResultFilter()).where(Result.item_no == item_no))
    if not rows:
        raise NotFoundError(f"job {job_id} has no row for item {item_no} (yet); items are numbered from 0")
    return rows[0]


def count_results(session: Session, job_id: uuid.UUID, chosen: ResultFilter) -> int:
    """How many rows match. Without a filter the job's own counts are cheaper; with one this reads an index, or the rows."""
    query = select(func.count()).select_from(Result).where(Result.job_id == job_id, *chosen.conditions())
    return session.scalar(query) or 0


def export_results(
    engine: Engine, job_id: uuid.UUID, *, chosen: ResultFilter, sort: ResultSort, batch: int = EXPORT_BATCH
) -> Iterator[Sequence[ResultRow]]:
    """All matching rows, in batches of at most `batch`, each from a short reading transaction of its own.

    Nothing is held between batches.

    Raises:
        NotFoundError: the job was deleted meanwhile, so the rows are not complete.
        DatabaseUnavailableError: the database went away.
    """
    after: Position | None = None
    size = min(_FIRST_BATCH, batch)
    while True:
        with reading(engine) as session:
            rows = read_results(session, job_id, chosen=chosen, sort=sort, limit=size, after=after)
            if len(rows) < size and read_progress(session, job_id) is None:
                raise NotFoundError(f"job {job_id} was deleted while its results were read")
        if rows:
            yield rows
        if len(rows) < size:
            return
        after = position_of(rows[-1], sort)
        size = min(2 * size, batch)


@dataclass(frozen=True, slots=True)
class IndexSlice:
    """Where in the job's index object the lines of a run of items lie."""

    first_item: int  # item number of the first line
    offset: int  # bytes
    length: int  # bytes


def find_index_slice(session: Session, job_id: uuid.UUID, item_no: int) -> IndexSlice:
    """The slice that holds an item's line.

    Raises:
        NotFoundError: the job has no such item (yet).
    """
    chunk = session.execute(
        select(Chunk.index_first_item, Chunk.index_offset, Chunk.index_length)
        # The nearest that begins before it, as a rule; retries and splits leave narrower ones behind, which end before it.
        .where(Chunk.job_id == job_id, Chunk.first_item <= item_no, Chunk.first_item + Chunk.item_count > item_no)
        .order_by(Chunk.first_item.desc())
        .limit(1)
    ).first()
    if chunk is None:
        raise NotFoundError(f"job {job_id} has no item {item_no}; items are numbered from 0 in the order of the archive")
    return IndexSlice(chunk.index_first_item, chunk.index_offset, chunk.index_length)


def _select(job_id: uuid.UUID, chosen: ResultFilter) -> Select[*tuple[Any, ...]]:
    return select(*_COLUMNS).where(Result.job_id == job_id, *chosen.conditions())


def _by_item(query: Select[*tuple[Any, ...]], after: Position | None, *, null: str = "") -> Select[*tuple[Any, ...]]:
    """In item order. `null` names a column that is NULL in all these rows: PostgreSQL takes its index if the order names it."""
    if after is not None:
        query = query.where(Result.item_no > after.item_no)
    return query.order_by(*([getattr(Result, null)] if null else []), Result.item_no)


def _column(sort: ResultSort) -> InstrumentedAttribute[float | None]:
    column: InstrumentedAttribute[float | None] = getattr(Result, sort.column)
    return column


def _any(session: Session, query: Select[*tuple[Any, ...]]) -> bool:
    """Whether a row matches. Without an order SQLite finds it by an index; with one it reads the whole job for none at all."""
    return session.scalar(query.with_only_columns(Result.item_no).limit(1)) is not None


def _by_value(query: Select[*tuple[Any, ...]], sort: ResultSort, after: Position | None) -> Select[*tuple[Any, ...]]:
    column = _column(sort)
    descending = sort.startswith("-")
    query = query.where(column.is_not(None))  # with a position, too: by that a partial index is found
    if after is not None:
        place, edge = tuple_(column, Result.item_no), tuple_(after.value, after.item_no)
        query = query.where(place < edge if descending else place > edge)
    if descending:
        return query.order_by(column.desc(), Result.item_no.desc())
    return query.order_by(column, Result.item_no)


def _fetch_first(
    session: Session, query: Select[*tuple[Any, ...]], limit: int, job_id: uuid.UUID, chosen: ResultFilter
) -> list[ResultRow]:
    """The first rows of a query.

    Of a page of rows with a note, the numbers first: they are found in an index of such rows alone, which has all it takes.
    Asked for whole rows, SQLite goes through the others, too.
    """
    if chosen.note is None or limit > _LONGEST_PAGE:
        return _fetch(session, query.limit(limit))
    numbers = session.scalars(query.with_only_columns(Result.item_no).limit(limit)).all()
    if not numbers:
        return []
    rows = {row.item_no: row for row in _fetch(session, _select(job_id, chosen).where(Result.item_no.in_(numbers)))}
    return [rows[number] for number in numbers if number in rows]  # a retry may have taken one back in between


def _fetch(session: Session, query: Select[*tuple[Any, ...]]) -> list[ResultRow]:
    rows = list(map(_as_row, fetch_raw(session, query)))
    return [_with_metadata(row) for row in rows] if any(row.metadata for row in rows) else rows


def _with_metadata(row: ResultRow) -> ResultRow:
    return row._replace(metadata=from_json(row.metadata)) if row.metadata else row
