"""SQLite's journal: the write-ahead log only where it is safe, and no committed row lost with the process that wrote it."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from sqlalchemy import text

import core.db.engine
from core.db.engine import SQLITE_WAL_SAFE_FROM, open_engine, transaction
from core.settings import DatabaseSettings
from tests.support.servers import ROOT

# Writes one row in a transaction, says so, begins another transaction, and is killed by itself.
_WRITER = """
    import os, signal, sys
    from sqlalchemy import text
    import core.db.engine
    from core.db.engine import open_engine, transaction
    from core.settings import DatabaseSettings

    core.db.engine.SQLITE_WAL_SAFE_FROM = tuple(map(int, sys.argv[2].split(".")))
    engine = open_engine(sys.argv[1], DatabaseSettings())
    with transaction(engine) as session:
        session.execute(text("CREATE TABLE t (n INTEGER)"))
    with transaction(engine) as session:
        session.execute(text("INSERT INTO t VALUES (1)"))
    with transaction(engine) as session:
        session.execute(text("INSERT INTO t VALUES (2)"))
        os.kill(os.getpid(), signal.SIGKILL)
"""
NEVER = "99.0.0"  # a version from which on the log would be safe


def journal_of(url: str) -> tuple[str, int]:
    """The journal's mode, and `synchronous`: 2 is FULL."""
    engine = open_engine(url, DatabaseSettings())
    try:
        with engine.connect() as connection:
            mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
            return mode, connection.exec_driver_sql("PRAGMA synchronous").scalar_one()
    finally:
        engine.dispose()


def test_the_log_is_used_where_sqlite_is_new_enough(tmp_path: Path) -> None:
    driver = core.db.engine._sqlite_driver()
    expected = "wal" if driver.sqlite_version_info >= SQLITE_WAL_SAFE_FROM else "persist"
    assert journal_of(f"sqlite:///{tmp_path / 'ledger.db'}") == (expected, 2)


def test_pysqlite3_replaces_an_older_sqlite_of_python() -> None:
    """In a process of its own: where TensorFlow was imported before, its SQLite answers in the place of pysqlite3's."""
    pytest.importorskip("pysqlite3.dbapi2", reason="no wheel of pysqlite3 for this platform")
    code = "import core.db.engine; driver = core.db.engine._sqlite_driver(); print(driver.__name__, driver.sqlite_version)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True, timeout=60)
    name, version = done.stdout.split()
    assert tuple(map(int, version.split("."))) >= SQLITE_WAL_SAFE_FROM
    is_new = sqlite3.sqlite_version_info >= SQLITE_WAL_SAFE_FROM
    assert name == ("sqlite3" if is_new else "pysqlite3.dbapi2")


def test_an_old_sqlite_keeps_its_rollback_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    journal_of(url)  # the ledger of a newer SQLite, which may have used the log
    monkeypatch.setattr(core.db.engine, "SQLITE_WAL_SAFE_FROM", (99,))
    assert journal_of(url) == ("persist", 2)


@pytest.mark.parametrize("safe_from", ["3.0.0", NEVER], ids=["wal", "persist"])
def test_what_was_committed_outlives_the_writer(tmp_path: Path, safe_from: str) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(_WRITER), url, safe_from], check=False, timeout=60)
    assert ended.returncode == -signal.SIGKILL
    engine = open_engine(url, DatabaseSettings())
    with transaction(engine) as session:
        assert session.execute(text("SELECT n FROM t")).scalars().all() == [1]
    engine.dispose()
