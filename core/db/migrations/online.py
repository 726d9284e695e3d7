"""What migrations may do to tables that are in use: build and drop indexes beside the service's reads and writes.

Call these first in a migration, before anything that is to be committed with the new revision: each commits by itself, and does
no harm when it is run again after a failure further down.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from alembic import op
from sqlalchemy import TextClause, text


def create_index(name: str, table: str, columns: Sequence[str], *, where: str | None = None, unique: bool = False) -> None:
    """CREATE INDEX CONCURRENTLY on PostgreSQL, a plain one on SQLite; with `where` of the rows that it is true of only.

    An index of that name that an earlier try left unfinished (PostgreSQL marks it as invalid and goes on to maintain it) is
    built anew.
    """
    if op.get_bind().dialect.name != "postgresql":
        op.create_index(name, table, columns, sqlite_where=_condition(where), unique=unique)
        return
    with _outside_transaction():
        if _is_invalid(name):
            op.drop_index(name, table_name=table, postgresql_concurrently=True)
        condition = _condition(where)
        op.create_index(
            *(name, table, columns),
            postgresql_concurrently=True,
            if_not_exists=True,
            postgresql_where=condition,
            unique=unique,
        )


def _condition(where: str | None) -> TextClause | None:
    return None if where is None else text(where)


def make_append_only(table: str) -> None:
    """Let the database itself refuse to change or remove rows of a table that is only added to. Locks it for an instant."""
    if op.get_bind().dialect.name != "postgresql":
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is only added to'); END"
            )
        return
    op.execute(
        f"CREATE OR REPLACE FUNCTION {table}_only_added_to() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{table} is only added to'; END $$"
    )
    for when, rows in (("UPDATE OR DELETE", "ROW"), ("TRUNCATE", "STATEMENT")):
        name = f"{table}_no_{'truncate' if rows == 'STATEMENT' else 'change'}"
        op.execute(
            f"CREATE OR REPLACE TRIGGER {name} BEFORE {when} ON {table} "
            f"FOR EACH {rows} EXECUTE FUNCTION {table}_only_added_to()"
        )


def make_changeable(table: str) -> None:
    """Take `make_append_only` back."""
    if op.get_bind().dialect.name != "postgresql":
        for verb in ("update", "delete"):
            op.execute(f"DROP TRIGGER {table}_no_{verb}")
        return
    op.execute(f"DROP FUNCTION {table}_only_added_to() CASCADE")


def drop_index(name: str, table: str) -> None:
    """DROP INDEX CONCURRENTLY on PostgreSQL, a plain one on SQLite."""
    if op.get_bind().dialect.name != "postgresql":
        op.drop_index(name, table_name=table)
        return
    with _outside_transaction():
        op.drop_index(name, table_name=table, postgresql_concurrently=True, if_exists=True)


@contextmanager
def _outside_transaction() -> Iterator[None]:
    """CONCURRENTLY waits for the transactions of others without anybody waiting behind it: no limit to that."""
    limit = op.get_bind().scalar(text("SHOW lock_timeout"))
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")
        try:
            yield
        finally:
            op.execute(f"SET lock_timeout = '{limit}'")


def _is_invalid(name: str) -> bool:
    query = "SELECT NOT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)"
    return bool(op.get_bind().scalar(text(query), {"name": name}))
