"""What the sweeper mends, on SQLite and on PostgreSQL."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Engine, update

from core.db.chunks import put_back_chunk
from core.db.engine import transaction
from core.db.lifecycle import request_cancel
from core.db.maintenance import due, republish, rescue, retention
from core.db.models import LOCAL_TENANT_ID, ChunkState, Job, JobState
from core.db.preparing import claim_prepare, note_opening
from core.db.tombstones import list_due
from core.errors import ItemErrorCode
from core.messages import PREPARE
from tests.support.ledger import LEASE_S, Ledger, broken


@pytest.fixture
def ledger(engine: Engine) -> Ledger:
    return Ledger(engine)


def test_a_chunk_that_kills_its_workers_is_split_down_to_one_item(ledger: Ledger) -> None:
    job_id = ledger.start(items=20, chunk_items=20)
    poison = 13
    for _ in range(200):
        due = [chunk for chunk in ledger.chunks(job_id) if chunk.state == ChunkState.PENDING]
        if not due:
            break
        claim = ledger.claim(job_id, due[0].chunk_no)
        assert claim is not None
        if poison not in claim.item_numbers:
            ledger.finish(claim)
        elif len(claim.item_numbers) == 1 and claim.crashes >= ledger.max_crashes:
            ledger.finish(claim, [broken(poison, ItemErrorCode.DECODER_CRASH)])
        else:  # the worker dies
            with transaction(ledger.engine) as session:
                rescue.rescue_owned(session, "w/1/1/1", ledger.rescue, ledger.clock.now())
    job = ledger.job(job_id)
    assert (job.state, job.succeeded, job.failed, ledger.rows(job_id)) == (JobState.SUCCEEDED, 19, 1, 20)


def test_a_cancelled_job_whose_worker_died_is_settled_by_the_sweeper(ledger: Ledger) -> None:
    job_id = ledger.start(items=8)
    assert ledger.claim(job_id, 0) is not None
    with transaction(ledger.engine) as session:
        request_cancel(session, LOCAL_TENANT_ID, job_id, ledger.clock.now())
    ledger.clock.advance(LEASE_S + 1)
    with transaction(ledger.engine) as session:
        assert rescue.rescue_chunks(session, ledger.rescue, ledger.clock.now()) == []
    assert ledger.job(job_id).state == JobState.CANCELLED


def test_lost_messages_are_sent_again(ledger: Ledger) -> None:
    job_id = ledger.submit()
    with transaction(ledger.engine) as session:
        assert [m.task for m in republish.publish_due_jobs(session, ledger.window, ledger.clock.now())] == [PREPARE]
        assert republish.publish_due_jobs(session, ledger.window, ledger.clock.now()) == [], "once per interval"
    ledger.prepare(job_id, items=8)
    with transaction(ledger.engine) as session:
        assert len(republish.wake_idle(session, ledger.window, ledger.clock.now(), queued=0)) == 2
    assert ledger.run(job_id, 0)


def test_a_prepare_whose_worker_dies_runs_again_and_at_last_fails(ledger: Ledger) -> None:
    job_id = ledger.submit()
    assert ledger.max_crashes_alone > ledger.max_crashes, "some kills from outside say nothing about an archive"
    for attempt in range(ledger.max_crashes_alone):
        assert ledger.job(job_id).state == JobState.QUEUED
        with transaction(ledger.engine) as session:
            claim = claim_prepare(session, job_id, owner="w", now=ledger.clock.now(), lease_s=LEASE_S)
            assert claim is not None, attempt
            note_opening(session, claim)
        ledger.clock.advance(LEASE_S + 1)
        with transaction(ledger.engine) as session:
            rescue.rescue_prepares(session, ledger.rescue, ledger.clock.now())
    job = ledger.job(job_id)
    assert (job.state, job.error_code) == (JobState.FAILED, "prepare_crash")


def test_expire_all_leases_counts_no_crash(ledger: Ledger) -> None:
    job_id = ledger.start(items=4)
    assert ledger.claim(job_id, 0) is not None
    with transaction(ledger.engine) as session:
        rescue.expire_all_leases(session, ledger.clock.now())
    (chunk,) = ledger.chunks(job_id)
    assert (chunk.state, chunk.crashes) == (ChunkState.PENDING, 0)
    assert ledger.run(job_id, 0)


def test_top_up_walks_all_jobs_a_page_at_a_time(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(republish, "PAGE", 2)
    jobs = [ledger.start(items=4) for _ in range(5)]
    with transaction(ledger.engine) as session:  # their last chunk was committed, but not their end
        session.execute(update(Job).values(remaining=0))

    def page(after: object) -> tuple[list[object], object]:
        with transaction(ledger.engine) as session:
            return republish.top_up_jobs(session, ledger.window, ledger.clock.now(), after)  # type: ignore[arg-type,return-value]

    assert republish.walk_pages(page) == []  # type: ignore[arg-type]
    assert {ledger.job(job_id).state for job_id in jobs} == {JobState.SUCCEEDED}


def test_retention_removes_ended_jobs_only(ledger: Ledger) -> None:
    now = ledger.clock.now()
    ended, running = ledger.start(items=4, retention_s=0.0), ledger.start(items=4, retention_s=0.0)
    ledger.run(ended, 0)
    with transaction(ledger.engine) as session:
        assert retention.delete_expired_jobs(session, now) == 1
        assert list_due(session, now, 10) == [f"jobs/{ended}/"]
    assert ledger.job(running).state == JobState.RUNNING


def test_work_that_a_clock_before_it_was_put_back_has_put_off_does_not_wait_for_it(ledger: Ledger) -> None:
    """A lease, a back-off, a wake-up and a prepare wait for their times. Then the clock goes back by an hour."""
    held = ledger.start(items=8)
    assert ledger.claim(held, 0) is not None
    waiting = ledger.claim(held, 1)
    assert waiting is not None
    queued, preparing, now = ledger.submit(), ledger.submit(), ledger.clock.now()
    with transaction(ledger.engine) as session:
        put_back_chunk(session, waiting, "serving: away", now + timedelta(seconds=30), now)
        assert claim_prepare(session, preparing, owner="w/1/1/1", now=now, lease_s=LEASE_S) is not None
    ledger.clock.advance(-3600)
    now, near = ledger.clock.now(), ledger.clock.now() + timedelta(seconds=LEASE_S)
    with transaction(ledger.engine) as session:
        assert due.pull_in_far_times(session, now, longest_s=3700, lease_s=LEASE_S) == 0, "no wait is so long"
        assert due.pull_in_far_times(session, now, longest_s=300, lease_s=LEASE_S) == 4
    assert [chunk.due_at for chunk in ledger.chunks(held)] == [near, near]
    assert [ledger.job(job_id).due_at for job_id in (queued, preparing)] == [near, near]
    ledger.clock.advance(LEASE_S)
    assert ledger.run(held, 1), "its back-off is over"
    with transaction(ledger.engine) as session:
        assert rescue.rescue_chunks(session, ledger.rescue, ledger.clock.now())
        rescue.rescue_prepares(session, ledger.rescue, ledger.clock.now())
    assert ledger.run(held, 0)
    assert ledger.job(preparing).state == JobState.QUEUED
