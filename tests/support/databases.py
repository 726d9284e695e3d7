"""Databases for tests: one's own on the PostgreSQL server that all share, and SQLite without waits for the disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, create_engine, event, text


@contextmanager
def own_database(server: str, name: str) -> Iterator[str]:
    """A new, empty database; yields its URL, and drops it at the end, whoever is still connected.

    Args:
        server: URL of the server, without a database name (the fixture `postgres_server`).
        name: of the database; nobody else's, lower-case.
    """
    admin = create_engine(f"{server}/postgres", isolation_level="AUTOCOMMIT")
    try:
        with admin.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        yield f"{server}/{name}"
        with admin.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    finally:
        admin.dispose()


def without_syncing(engine: Engine) -> Engine:
    """An engine whose SQLite does not wait for the disk: only a test that cuts the power could see a difference."""
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", lambda connection, _record: connection.execute("PRAGMA synchronous=OFF"))
    return engine
