"""Rows as the driver has them: SQLAlchemy's own cost more than the query, where there are many."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from typing import Any

from sqlalchemy import Select
from sqlalchemy.orm import Session


def fetch_raw(session: Session, query: Select[*tuple[Any, ...]]) -> Sequence[Any]:
    """All rows, without the conversions of the columns' types: SQLite's flags are 0 and 1, its JSON is text (`from_json`)."""
    cursor = session.connection().execute(query).cursor
    if cursor is None:
        raise AssertionError("a SELECT has a cursor")
    with closing(cursor):
        return cursor.fetchall()


def from_json(value: Any) -> Any:
    """A raw JSON column: SQLite's driver gives text, PostgreSQL's what it says."""
    return json.loads(value) if isinstance(value, str) else value
