"""How long a process takes for an item of a model version, on SQLite and on PostgreSQL: what chunks are cut by."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from core.db.chunks import ChunkTiming, finish_chunk
from core.db.engine import reading, transaction
from core.db.lifecycle import request_cancel
from core.db.models import LOCAL_TENANT_ID
from core.db.throughput import read_item_seconds, read_queue_seconds
from tests.support.ledger import Ledger, outcomes_of


def run(ledger: Ledger, *, items: int, seconds: float, starved_s: float = 0.0, **changes: object) -> None:
    job_id = ledger.start(items=items, chunk_items=items, **changes)
    claim = ledger.claim(job_id, 0)
    assert claim is not None
    ledger.clock.advance(seconds)
    with transaction(ledger.engine) as session:
        assert finish_chunk(session, claim, outcomes_of(claim), ledger.clock.now(), timing=ChunkTiming(0.0, starved_s))


def test_only_runs_of_that_version_with_many_items_count(engine: Engine) -> None:
    ledger = Ledger(engine)

    def item_seconds(model: str = "tiny", version: int = 7) -> float | None:
        with reading(engine) as session:
            return read_item_seconds(session, model, version, 64)

    assert item_seconds() is None
    run(ledger, items=63, seconds=63.0)  # the first run of a process, that opens all
    assert item_seconds() is None
    run(ledger, items=100, seconds=1.0)
    run(ledger, items=300, seconds=3.0)
    run(ledger, items=100, seconds=50.0, model="other")
    run(ledger, items=1, seconds=9.0, interactive=True)
    assert item_seconds() == pytest.approx(0.01)
    assert item_seconds("other") == pytest.approx(0.5)
    assert item_seconds(version=8) is None


def test_time_without_a_core_does_not_count(engine: Engine) -> None:
    ledger = Ledger(engine)
    run(ledger, items=100, seconds=4.0, starved_s=3.0)
    run(ledger, items=100, seconds=3.0, starved_s=0.0)
    with reading(engine) as session:
        assert read_item_seconds(session, "tiny", 7, 64) == pytest.approx(0.02)
    run(ledger, items=100, seconds=1.0, starved_s=1.5, model="other")  # two clocks
    with reading(engine) as session:
        assert read_item_seconds(session, "other", 7, 64) is None


def test_the_queue_is_what_all_processes_have_to_do(engine: Engine) -> None:
    ledger = Ledger(engine)

    def queue_seconds() -> float | None:
        with reading(engine) as session:
            return read_queue_seconds(session, ledger.clock.now(), archive_items=50)

    assert queue_seconds() == 0.0, "nothing is to do"
    job_id = ledger.start(items=400, chunk_items=100)
    assert queue_seconds() is None, "the pace is unknown"
    claims = [ledger.claim(job_id, number, owner=f"w/1/{number}/1") for number in (0, 1)]
    ledger.clock.advance(100.0)
    assert [ledger.finish(claim) for claim in claims if claim] == [True, True]
    # 200 items took two processes 100 s: two items a second, and 200 are left.
    assert queue_seconds() == pytest.approx(100.0)
    ledger.submit()
    assert queue_seconds() == pytest.approx(125.0), "nobody has listed it yet"
    with transaction(engine) as session:
        request_cancel(session, LOCAL_TENANT_ID, job_id, ledger.clock.now())
    assert queue_seconds() == pytest.approx(25.0)
