"""Waiting for a migration that somebody else runs, on both databases."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from core.db.engine import open_engine
from core.db.schema.awaiting import SchemaMissingError, await_schema, main
from core.db.schema.migrate import downgrade, head_revision, upgrade
from core.settings import DatabaseSettings
from tests.support.servers import free_port


class Clock:
    """Time passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def wait(engine: Engine, clock: Clock) -> str:
    return await_schema(engine, patience_s=20, sleep=clock.sleep, monotonic=clock)


def test_it_returns_at_once_when_the_schema_is_there(engine: Engine, clock: Clock) -> None:
    assert wait(engine, clock) == head_revision()
    assert clock.now == 0


def test_it_waits_for_the_migration(database_url: str, clock: Clock) -> None:
    engine = open_engine(database_url, DatabaseSettings())

    class Migrating(Clock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            if self.now >= 6:
                upgrade(engine)

    patient = Migrating()
    assert wait(engine, patient) == head_revision()
    assert patient.now == 6
    engine.dispose()


def test_an_empty_ledger_is_named_when_the_time_is_over(database_url: str, clock: Clock) -> None:
    engine = open_engine(database_url, DatabaseSettings())
    with pytest.raises(SchemaMissingError, match=rf"at revision {head_revision()} within 20 s, but it is empty"):
        wait(engine, clock)
    assert clock.now >= 20
    engine.dispose()


def test_an_older_ledger_is_not_enough(engine: Engine, clock: Clock) -> None:
    downgrade(engine, "0001")
    with pytest.raises(SchemaMissingError, match="but it is at revision 0001"):
        wait(engine, clock)


def test_a_newer_ledger_is_enough(engine: Engine, clock: Clock) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert wait(engine, clock) == "9999"


def test_a_database_that_is_away_is_waited_for(clock: Clock) -> None:
    engine = open_engine(f"postgresql+psycopg://nobody@127.0.0.1:{free_port()}/none", DatabaseSettings())
    with pytest.raises(SchemaMissingError, match="does not answer"):
        wait(engine, clock)
    engine.dispose()


def test_the_command_reads_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    monkeypatch.setenv("DERMQ_DATABASE_URL", url)
    engine = open_engine(url, DatabaseSettings())
    upgrade(engine)
    engine.dispose()
    assert main() == 0
    assert "schema_there" in capsys.readouterr().err
