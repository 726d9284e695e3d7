"""A worker sees for nearly nothing whether anybody has written to the ledger."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine, text
from sqlalchemy.pool import QueuePool

from core.db.changes import Changes
from core.db.engine import open_engine, reading, transaction
from core.settings import DatabaseSettings


def opened(path: Path) -> Engine:
    return open_engine(f"sqlite:///{path / 'ledger.db'}", DatabaseSettings())


def test_a_commit_by_anybody_changes_the_mark_and_nothing_else_does(tmp_path: Path) -> None:
    own, other = opened(tmp_path), opened(tmp_path)
    with transaction(own) as session:
        session.execute(text("CREATE TABLE words (word TEXT)"))
    changes = Changes(own)
    marks = [changes.mark()]
    for engine in (own, other):
        with reading(engine) as session:
            session.execute(text("SELECT * FROM words"))
        with engine.connect() as connection:
            connection.execute(text("INSERT INTO words VALUES ('rolled back')"))
            connection.rollback()
        assert changes.mark() == marks[-1]
        with transaction(engine) as session:
            session.execute(text("INSERT INTO words VALUES ('here')"))
        marks.append(changes.mark())
    assert None not in marks
    assert len(set(marks)) == 3
    assert isinstance(own.pool, QueuePool)
    assert own.pool.checkedout() == 0, "the pool's connections are left to others"
    changes.close()
    assert changes.mark() is not None, "it opens another one"
    changes.close()
    own.dispose()
    other.dispose()


def test_a_file_that_cannot_be_read_has_no_mark(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(b"no database at all, but for its length" * 100)
    engine = opened(tmp_path)
    assert Changes(engine).mark() is None
    engine.dispose()


def test_postgresql_does_not_say(engine: Engine) -> None:
    changes = Changes(engine)
    assert (changes.mark() is None) == (engine.dialect.name == "postgresql")
    changes.close()
