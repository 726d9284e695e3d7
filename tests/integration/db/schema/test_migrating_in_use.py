"""Migrating a ledger that is in use: migrators take turns, none stalls the service, and the previous release works on."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine, text

from core.db.engine import open_engine
from core.db.migrations import versions
from core.db.schema.migrate import current_revision, head_revision, main, upgrade
from core.db.schema.migrationlock import ADVISORY_LOCK, MigrationBlockedError, Patience
from core.settings import DatabaseSettings
from tests.support.servers import wait_until

REVISIONS = sorted(path.name[:4] for path in Path(versions.__file__).parent.glob("0*.py"))
BRIEF = Patience(lock_s=0.1, pause_s=0.1, blocked_s=0.5, other_migrator_s=0.5)
INDEX = "ix_jobs_model_state"  # of 0002


@pytest.fixture
def empty(database_url: str) -> Iterator[Engine]:
    engine = open_engine(database_url, DatabaseSettings())
    yield engine
    engine.dispose()


@pytest.fixture
def postgres(postgres_url: str) -> Iterator[Engine]:
    engine = open_engine(postgres_url, DatabaseSettings())
    yield engine
    engine.dispose()


ADDED_TO = ("audit_events", "model_events")


def made_up(column: sa.Column[Any]) -> Any:
    """A value that a column takes; the same for all columns of a type, so that foreign keys are met."""
    moment = datetime(2026, 1, 2, tzinfo=UTC if getattr(column.type, "timezone", False) else None)
    values = {
        str: "text",
        int: 7,
        float: 0.5,
        bool: False,
        bytes: b"x",
        object: {"a": [1]},  # JSON
        uuid.UUID: uuid.UUID(int=7),
        datetime: moment,
    }
    return values[column.type.python_type]


@pytest.mark.parametrize("revision", REVISIONS[:-1])
def test_what_a_former_release_reads_and_writes_works_on_the_newest_schema(empty: Engine, revision: str) -> None:
    upgrade(empty, revision)
    former = sa.MetaData()
    former.reflect(empty)
    upgrade(empty)
    tables = [table for table in former.sorted_tables if table.name != "alembic_version"]
    row: dict[str, dict[str, Any]] = {}
    with empty.begin() as connection:
        for table in tables:  # parents first
            row[table.name] = {column.name: made_up(column) for column in table.columns}
            connection.execute(table.insert().values(row[table.name]))
        for table in reversed(tables):
            keys = [column == row[table.name][column.name] for column in table.primary_key.columns]
            found = connection.execute(sa.select(*table.columns).where(*keys)).one()
            assert dict(found._mapping) == row[table.name]
            if table.name in ADDED_TO:
                continue  # no release changes or removes their rows
            some = list(table.columns)[-1]
            assert connection.execute(table.update().where(*keys).values({some.name: row[table.name][some.name]})).rowcount == 1
            assert connection.execute(table.delete().where(*keys)).rowcount == 1


def test_migrators_that_start_together_take_turns(empty: Engine) -> None:
    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(upgrade, empty) for _ in range(3)]:
            done.result()
    assert current_revision(empty) == head_revision()


def test_a_long_transaction_stops_the_migration_and_not_the_service(postgres: Engine) -> None:
    upgrade(postgres, "0002")
    with postgres.connect() as reader:
        reader.execute(text("SELECT count(*) FROM jobs"))  # and the transaction stays open
        with ThreadPoolExecutor(1) as pool:
            migration = pool.submit(upgrade, postgres, "head", Patience(lock_s=0.3, pause_s=0.1, blocked_s=3))
            wait_until(lambda: waiting_for_lock(postgres), timeout_s=20, what="the migration to wait for the table")
            with postgres.connect() as user:  # queued behind the migrator, and let through when it gives up
                user.execute(text("SET statement_timeout = '10s'"))
                assert user.scalar(text("SELECT count(*) FROM jobs")) == 0
            assert current_revision(postgres) == "0002"
            with pytest.raises(MigrationBlockedError, match=r"within 3 s.*pid \d+ \(dermq, idle in transaction\).*count"):
                migration.result(60)
    upgrade(postgres)
    assert current_revision(postgres) == head_revision()


def waiting_for_lock(engine: Engine) -> bool:
    """Whether a statement waits for a table's exclusive lock."""
    query = "SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'"
    with engine.connect() as connection:
        return bool(connection.scalar(text(query)))


def test_a_migrator_that_finds_another_one_says_so(postgres: Engine) -> None:
    with postgres.connect() as other:
        other.execute(text("SELECT pg_advisory_lock(:key)"), {"key": ADVISORY_LOCK})
        other.commit()
        with pytest.raises(MigrationBlockedError, match="another migrator"):
            upgrade(postgres, patience=BRIEF)
        assert current_revision(postgres) is None
        other.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": ADVISORY_LOCK})
    upgrade(postgres, patience=BRIEF)


def test_an_index_is_built_while_rows_are_written(postgres: Engine) -> None:
    upgrade(postgres, "0001")
    change = text("INSERT INTO tenants VALUES (gen_random_uuid(), 'b', now())")
    with ThreadPoolExecutor(1) as pool:
        with postgres.connect() as writer:
            writer.execute(text("UPDATE jobs SET name = name"))  # holds back the index, for as long as it is open
            migration = pool.submit(upgrade, postgres, "0002", BRIEF)
            wait_until(lambda: index_state(postgres) is False, timeout_s=20, what="an index that is being built")
            with postgres.begin() as others:
                others.execute(text("SET LOCAL lock_timeout = '1ms'"))
                others.execute(text("UPDATE jobs SET name = name"))
                others.execute(change)
            writer.commit()
        migration.result(60)
    assert index_state(postgres) is True


def test_an_index_that_was_left_unfinished_is_built_anew(postgres: Engine) -> None:
    upgrade(postgres, "0001")
    with postgres.begin() as connection:
        connection.execute(text(f"CREATE INDEX {INDEX} ON jobs (name)"))  # other columns: would pass for the right one
        connection.execute(text("UPDATE pg_index SET indisvalid = false WHERE indexrelid = to_regclass(:i)"), {"i": INDEX})
    upgrade(postgres)
    assert index_state(postgres) is True
    found = next(index for index in sa.inspect(postgres).get_indexes("jobs") if index["name"] == INDEX)
    assert found["column_names"] == ["model", "state"]


def index_state(engine: Engine) -> bool | None:
    """Whether the index is valid; None if it is not there."""
    with engine.connect() as connection:
        query = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)"
        found: bool | None = connection.scalar(text(query), {"name": INDEX})
        return found


def test_the_migrators_settings_do_not_reach_the_pool(postgres: Engine) -> None:
    upgrade(postgres)
    with postgres.connect() as connection:
        assert connection.scalar(text("SHOW statement_timeout")) == "30s"
        assert connection.scalar(text("SHOW lock_timeout")) == "0"


def test_a_ledger_of_a_newer_release_is_left_as_it_is(empty: Engine) -> None:
    upgrade(empty)
    with empty.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    upgrade(empty)
    assert current_revision(empty) == "9999"


def test_the_command_migrates_the_ledger_of_the_settings(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERMQ_DATABASE_URL", database_url)
    assert main([]) == 0
    assert main(["up"]) == 0
    engine = open_engine(database_url, DatabaseSettings())
    assert current_revision(engine) == head_revision()
    engine.dispose()
    assert main(["sideways"]) == 2
