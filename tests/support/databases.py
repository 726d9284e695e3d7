"""Databases of a test's own on the PostgreSQL server that all tests share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import create_engine, text


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
