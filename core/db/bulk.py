"""Many rows in one statement of the driver, without SQLAlchemy's work for each row.

SQLite: `executemany` of tuples. PostgreSQL: an array for each column in the binary format, unfolded by the server (`unnest`);
the text of the statement does not depend on the number of rows, so that psycopg keeps it prepared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import repeat
from typing import Any

from sqlalchemy import Connection, Dialect, LargeBinary, Table
from sqlalchemy.types import TypeEngine

from core.db.models import PlainText
from core.plaintext import plain_text

_Processor = Callable[[Any], Any] | None


def insert_rows(
    connection: Connection, table: Table, columns: tuple[str, ...], rows: Iterable[Sequence[object]], on_conflict: str
) -> None:
    """Insert rows, in their order. Every value passes through its column's type, as in a statement of SQLAlchemy.

    Args:
        connection: within a transaction.
        table: the table.
        columns: their names, in the order of the values.
        rows: a value for each column.
        on_conflict: what stands behind ON CONFLICT, in the words that both databases have in common.
    """
    values = list(zip(*rows, strict=True))
    if not values:
        return
    dialect = connection.dialect
    processed = [
        column if processor is None else [None if value is None else processor(value) for value in column]
        for column, processor in zip(values, _processors(dialect, table, columns), strict=True)
    ]
    statement = _statement(dialect, table, columns, on_conflict)
    if dialect.name == "postgresql":
        # An array of nothing but NULL has no type; for NULL, unnest gives NULL in each row.
        arrays = [None if column.count(None) == len(column) else list(column) for column in processed]
        connection.exec_driver_sql(statement, tuple(arrays))
    else:
        connection.exec_driver_sql(statement, list(zip(*processed, strict=True)))


@lru_cache(maxsize=32)
def _processors(dialect: Dialect, table: Table, columns: tuple[str, ...]) -> tuple[_Processor, ...]:
    """What makes the driver's value of each column's value; None where it is the same."""
    return tuple(_processor(dialect, table.c[name].type) for name in columns)


def _processor(dialect: Dialect, kind: TypeEngine[Any]) -> _Processor:
    """The same values as the type's own processors give, by a shorter way where there is one."""
    if isinstance(kind, PlainText):
        return plain_text
    if isinstance(kind, LargeBinary):  # both drivers take bytes as they are
        return None
    return kind.dialect_impl(dialect).bind_processor(dialect)


@lru_cache(maxsize=32)
def _statement(dialect: Dialect, table: Table, columns: tuple[str, ...], on_conflict: str) -> str:
    names = ", ".join(columns)
    if dialect.name != "postgresql":
        marks = ", ".join(repeat("?", len(columns)))
        return f"INSERT INTO {table.name} ({names}) VALUES ({marks}) ON CONFLICT {on_conflict}"  # noqa: S608 - names of this code
    arrays = ", ".join(f"%b::{table.c[name].type.compile(dialect)}[]" for name in columns)
    return f"INSERT INTO {table.name} ({names}) SELECT * FROM unnest({arrays}) ON CONFLICT {on_conflict}"  # noqa: S608 - as above
