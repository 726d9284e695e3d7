"""A database that takes no writes is one that is away: work waits for it, and nothing fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from core.db.chunks import finish_chunk
from core.db.engine import open_engine, reading, retrying_transaction
from core.db.jobs import get_job
from core.db.models import LOCAL_TENANT_ID, ChunkState, JobState
from core.errors import DatabaseUnavailableError
from core.settings import DatabaseSettings
from tests.support.ledger import Ledger, outcomes_of
from worker.interruption import Interruption, judge


@contextmanager
def read_only(engine: Engine) -> Iterator[Engine]:
    """An engine for the same database, which takes no writes while the block runs."""
    if engine.dialect.name == "sqlite":
        path = Path(str(engine.url.database))
        other = open_engine(f"sqlite:///file:{path}?mode=ro&uri=true", DatabaseSettings())
    else:
        other = open_engine(engine.url.render_as_string(hide_password=False), DatabaseSettings())
        _alter(engine, "on")
    try:
        yield other
    finally:
        other.dispose()
        if engine.dialect.name == "postgresql":
            _alter(engine, "off")


def _alter(engine: Engine, value: str) -> None:
    engine.dispose()  # the value holds for new sessions
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SET default_transaction_read_only = off"))
        connection.execute(text(f"ALTER DATABASE {engine.url.database} SET default_transaction_read_only = {value}"))
    engine.dispose()


def test_a_chunk_waits_while_the_database_takes_no_writes(engine: Engine) -> None:
    ledger = Ledger(engine)
    job_id = ledger.start(items=8)  # two chunks
    claim = ledger.claim(job_id, 0)
    assert claim is not None
    with read_only(engine) as other:
        with reading(other) as session:
            assert get_job(session, LOCAL_TENANT_ID, job_id).state == JobState.RUNNING, "reading goes on"
        away = Ledger(other, ledger.clock)
        for attempt in (lambda: away.finish(claim), away.submit, away.claim_next):
            with pytest.raises(DatabaseUnavailableError, match=r"readonly|only be read") as caught:
                attempt()
            assert judge(caught.value) is Interruption.OUTAGE
        with pytest.raises(DatabaseUnavailableError):
            retrying_transaction(
                other, lambda session: finish_chunk(session, claim, outcomes_of(claim), ledger.clock.now()), timeout_s=0.2
            )
        assert [(chunk.state, chunk.crashes) for chunk in away.chunks(job_id)] == [
            (ChunkState.RUNNING, 0),
            (ChunkState.PENDING, 0),
        ]
        assert away.rows(job_id) == 0
    assert ledger.finish(claim)
    assert ledger.run(job_id, 1)
    job = ledger.job(job_id)
    assert (job.state, job.succeeded, job.failed, ledger.rows(job_id)) == (JobState.SUCCEEDED, 8, 0, 8)
