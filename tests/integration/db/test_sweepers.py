"""Several sweepers at once: each finding is dealt with once, and rows that one of them holds do not keep the others."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import timedelta

import pytest
from sqlalchemy import Engine, select

from core.db.engine import transaction
from core.db.maintenance import republish, rescue
from core.db.maintenance.rescue import Rescue, RescuePolicy
from core.db.models import Chunk, ChunkState, JobState
from core.messages import PREPARE
from tests.support.ledger import LEASE_S, Ledger

SWEEPERS = 6
CHUNKS = 260  # more than a page


@pytest.fixture
def ledger(engine: Engine) -> Ledger:
    return Ledger(engine)


def hold_all(ledger: Ledger) -> None:
    """Every chunk is held by a process that dies now."""
    job_id = ledger.start(items=CHUNKS, chunk_items=1)
    for number in range(CHUNKS):
        assert ledger.claim(job_id, number) is not None
    ledger.clock.advance(LEASE_S + 1)


def sweep(ledger: Ledger, found: Counter[str]) -> None:
    policy = RescuePolicy(ledger.window, ledger.max_crashes)
    now = ledger.clock.now()
    with transaction(ledger.engine) as session:
        rescue.rescue_chunks(session, policy, now)
    with transaction(ledger.engine) as session:
        messages = republish.publish_due_jobs(session, ledger.window, now)
    found[Rescue.CHUNK_CRASH] += policy.done[Rescue.CHUNK_CRASH]
    found.update(message.args[0] for message in messages if message.task == PREPARE)  # type: ignore[misc]


def test_each_finding_is_dealt_with_once(ledger: Ledger) -> None:
    hold_all(ledger)
    queued = [ledger.submit() for _ in range(12)]
    found: list[Counter[str]] = [Counter() for _ in range(SWEEPERS)]
    together = threading.Barrier(SWEEPERS)

    def run(number: int) -> None:
        together.wait()
        for _ in range(3):
            sweep(ledger, found[number])

    threads = [threading.Thread(target=run, args=(number,)) for number in range(SWEEPERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    total = sum(found, Counter())
    assert total.pop(Rescue.CHUNK_CRASH) == CHUNKS
    assert total == Counter({str(job_id): 1 for job_id in queued}), "one message for each job"
    with transaction(ledger.engine) as session:
        chunks = session.scalars(select(Chunk)).all()
        assert {(chunk.state, chunk.crashes) for chunk in chunks} == {(ChunkState.PENDING, 1)}
    assert ledger.job(chunks[0].job_id).state == JobState.RUNNING


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_sweeper_that_hangs_with_a_page_does_not_keep_the_others(ledger: Ledger) -> None:
    hold_all(ledger)
    policy = RescuePolicy(ledger.window, ledger.max_crashes)
    with transaction(ledger.engine) as hanging:
        held = hanging.scalars(select(Chunk).order_by(Chunk.due_at).limit(rescue.PAGE).with_for_update()).all()
        with transaction(ledger.engine) as session:
            rescue.rescue_chunks(session, policy, ledger.clock.now())
    assert len(held) == rescue.PAGE
    assert policy.done[Rescue.CHUNK_CRASH] == CHUNKS - rescue.PAGE
    with transaction(ledger.engine) as session:
        rescue.rescue_chunks(session, policy, ledger.clock.now() + timedelta(seconds=5))
    assert policy.done[Rescue.CHUNK_CRASH] == CHUNKS
