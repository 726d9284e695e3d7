"""SQLite has one writer at a time: who waits for its turn finds the lock free soon after it is, and not for ever."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from core.db import engine as engines
from core.db.engine import open_engine, reading, transaction
from core.errors import DatabaseUnavailableError
from core.settings import DatabaseSettings


def opened(path: Path, timeout_s: int = 30) -> Engine:
    return open_engine(f"sqlite:///{path / 'ledger.db'}", DatabaseSettings(statement_timeout_s=timeout_s))


def test_a_writer_looks_for_the_lock_every_millisecond(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = opened(tmp_path), opened(tmp_path)
    with transaction(first) as session:
        session.execute(text("CREATE TABLE words (word TEXT)"))
    holder = first.connect()
    held = holder.begin()
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 40:
            held.commit()

    monkeypatch.setattr(engines.time, "sleep", sleep)
    with transaction(second) as session:
        session.execute(text("INSERT INTO words VALUES ('here')"))
        [(timeout_ms,)] = session.execute(text("PRAGMA busy_timeout")).all()
    assert slept == [0.001] * 40
    assert timeout_ms == 30_000, "other statements wait for the lock as before"
    with reading(first) as session:
        assert session.execute(text("SELECT word FROM words")).all() == [("here",)]
    holder.close()
    first.dispose()
    second.dispose()


def test_a_writer_that_waits_too_long_is_told_so_and_may_write_later(tmp_path: Path) -> None:
    first, second = opened(tmp_path), opened(tmp_path, timeout_s=1)
    with (
        first.connect() as holder,
        holder.begin(),
        pytest.raises(DatabaseUnavailableError, match="database is locked"),
        transaction(second) as session,
    ):
        session.execute(text("SELECT 1"))
    with transaction(second) as session:
        session.execute(text("CREATE TABLE words (word TEXT)"))
        assert session.execute(text("PRAGMA busy_timeout")).scalar_one() == 1000
    first.dispose()
    second.dispose()


def test_a_connection_waits_while_another_one_writes_to_a_file_without_a_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To choose the log fails at once then: SQLite does not ask its busy handler."""
    driver = engines._sqlite_driver()
    writer = driver.connect(str(tmp_path / "ledger.db"), isolation_level=None)
    writer.execute("CREATE TABLE words (word TEXT)")
    writer.execute("BEGIN IMMEDIATE")
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            writer.close()

    monkeypatch.setattr(engines.time, "sleep", sleep)
    waiting = opened(tmp_path)
    with transaction(waiting) as session:
        session.execute(text("INSERT INTO words VALUES ('here')"))
    assert slept == [0.001] * 3
    waiting.dispose()
