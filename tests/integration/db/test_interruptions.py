"""How an interruption is judged, on SQLite and on PostgreSQL: outages and bugs are no crashes, and a death is one."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy import Engine, update

from core.db.chunks import BugEnd, note_bug, put_back_chunk, renew_chunk
from core.db.engine import read_time, transaction
from core.db.lifecycle import request_cancel
from core.db.maintenance import republish, rescue, retention
from core.db.maintenance.rescue import RescuePolicy
from core.db.models import LOCAL_TENANT_ID, Chunk, ChunkState, JobState
from core.db.preparing import claim_prepare, note_opening, note_prepare_bug
from core.db.processes import forget_silent_processes, note_alive, read_seen
from core.errors import ItemErrorCode
from tests.support.ledger import LEASE_S, Ledger, broken, outcomes_of, succeeded

OWNER = "elsewhere/1/1/1"  # of another host: only its record tells whether it lives


@pytest.fixture
def ledger(engine: Engine) -> Ledger:
    return Ledger(engine)


def seen(ledger: Ledger, owner: str = OWNER) -> None:
    with transaction(ledger.engine) as session:
        note_alive(session, owner, ledger.clock.now())


def sweep(ledger: Ledger, observed_since: datetime | None) -> None:
    policy = RescuePolicy(ledger.window, ledger.max_crashes, patience_s=LEASE_S, observed_since=observed_since)
    with transaction(ledger.engine) as session:
        rescue.rescue_chunks(session, policy, ledger.clock.now())
        rescue.rescue_prepares(session, policy, ledger.clock.now())


def test_a_lease_that_an_outage_let_run_out_counts_nothing(ledger: Ledger) -> None:
    """The process could not put its chunk back while the database was away, for hours; it lives, and says so first of all."""
    began = ledger.clock.now()
    seen(ledger)
    job_id = ledger.start(items=1)
    for _ in range(5):
        assert ledger.claim(job_id, 0, OWNER) is not None
        ledger.clock.advance(7200)
        seen(ledger)
        sweep(ledger, began)
        (chunk,) = ledger.chunks(job_id)
        assert (chunk.state, chunk.crashes) == (ChunkState.PENDING, 0)
    assert ledger.run(job_id, 0)


def test_after_an_outage_nobody_is_called_dead_before_all_had_time_to_come_back(ledger: Ledger) -> None:
    seen(ledger)
    job_id = ledger.start(items=1)
    assert ledger.claim(job_id, 0, OWNER) is not None
    ledger.clock.advance(7200)
    back = ledger.clock.now()  # the sweeping process reaches the database again
    sweep(ledger, back)
    assert ledger.chunks(job_id)[0].state == ChunkState.RUNNING
    ledger.clock.advance(LEASE_S - 1)
    sweep(ledger, back)
    assert ledger.chunks(job_id)[0].state == ChunkState.RUNNING
    ledger.clock.advance(2)
    sweep(ledger, back)
    (chunk,) = ledger.chunks(job_id)
    assert (chunk.state, chunk.crashes) == (ChunkState.PENDING, 1), "silent while others are not: it died"


def test_a_process_without_a_record_is_judged_by_its_lease(ledger: Ledger) -> None:
    job_id = ledger.start(items=1)
    assert ledger.claim(job_id, 0, OWNER) is not None
    ledger.clock.advance(LEASE_S + 1)
    sweep(ledger, None)
    assert ledger.chunks(job_id)[0].crashes == 1


def test_a_renewed_lease_keeps_a_chunk_that_takes_long(ledger: Ledger) -> None:
    job_id = ledger.start(items=1)
    claim = ledger.claim(job_id, 0, OWNER)
    assert claim is not None
    for _ in range(10):
        ledger.clock.advance(LEASE_S - 1)
        with transaction(ledger.engine) as session:
            assert renew_chunk(session, claim, ledger.clock.now(), LEASE_S)
        sweep(ledger, ledger.clock.now())
    assert ledger.finish(claim)
    with transaction(ledger.engine) as session:
        assert not renew_chunk(session, claim, ledger.clock.now(), LEASE_S), "it is done"


def test_a_death_before_the_archive_was_opened_says_nothing_about_the_archive(ledger: Ledger) -> None:
    job_id = ledger.submit()
    for _ in range(3 * ledger.max_crashes_alone):
        with transaction(ledger.engine) as session:
            assert claim_prepare(session, job_id, owner=OWNER, now=ledger.clock.now(), lease_s=LEASE_S) is not None
        ledger.clock.advance(LEASE_S + 1)
        sweep(ledger, None)
    job = ledger.job(job_id)
    assert (job.state, job.crashes) == (JobState.QUEUED, 0)
    for _ in range(ledger.max_crashes_alone):
        assert ledger.job(job_id).state == JobState.QUEUED
        with transaction(ledger.engine) as session:
            claim = claim_prepare(session, job_id, owner=OWNER, now=ledger.clock.now(), lease_s=LEASE_S)
            assert claim is not None
            note_opening(session, claim)
        ledger.clock.advance(LEASE_S + 1)
        sweep(ledger, None)
    assert (ledger.job(job_id).state, ledger.job(job_id).error_code) == (JobState.FAILED, "prepare_crash")


def test_a_bug_is_counted_split_down_and_ends(ledger: Ledger) -> None:
    """Item 13 makes the code fail: it alone is left, and at last the worker gives it a row of its own."""
    job_id = ledger.start(items=20, chunk_items=20)
    raised = 0
    for _ in range(500):
        due = [chunk for chunk in ledger.chunks(job_id) if chunk.state == ChunkState.PENDING]
        if not due:
            break
        ledger.clock.advance(60)
        claim = ledger.claim(job_id, due[0].chunk_no)
        assert claim is not None
        if 13 not in claim.item_numbers:
            ledger.finish(claim)
        elif len(claim.item_numbers) == 1 and claim.bugs >= 2:
            ledger.finish(claim, [broken(13, ItemErrorCode.INTERNAL_ERROR)])
        else:
            raised += 1
            now = ledger.clock.now()
            with transaction(ledger.engine) as session:
                assert note_bug(session, claim, "abc", now + timedelta(seconds=1), now, max_bugs=2) is not None
    job = ledger.job(job_id)
    assert (job.state, job.succeeded, job.failed, ledger.rows(job_id)) == (JobState.SUCCEEDED, 19, 1, 20)
    assert raised <= 8


def test_a_bug_that_not_even_gives_a_row_ends_the_job(ledger: Ledger) -> None:
    job_id = ledger.start(items=1)
    ends = []
    for _ in range(4):
        ledger.clock.advance(60)
        claim = ledger.claim(job_id, 0)
        assert claim is not None
        now = ledger.clock.now()
        with transaction(ledger.engine) as session:
            ends.append(note_bug(session, claim, "abc", now + timedelta(seconds=1), now, max_bugs=2))
    job = ledger.job(job_id)
    assert ends == [BugEnd.PUT_BACK] * 3 + [BugEnd.JOB_FAILED]
    assert (job.state, job.error_code) == (JobState.FAILED, "internal_error")
    assert "error_id abc" in str(job.error)


def test_a_bug_of_prepare_ends_the_job_after_some_tries(ledger: Ledger) -> None:
    job_id = ledger.submit()
    for _ in range(4):
        with transaction(ledger.engine) as session:
            claim = claim_prepare(session, job_id, owner=OWNER, now=ledger.clock.now(), lease_s=LEASE_S)
            assert claim is not None
            due_at = ledger.clock.now() + timedelta(seconds=30)
            note_prepare_bug(session, claim, "abc", due_at, ledger.clock.now(), max_bugs=4)
        job = ledger.job(job_id)
        assert job.state == JobState.FAILED or job.due_at == due_at, "it backs off"
    assert (job.state, job.error_code) == (JobState.FAILED, "internal_error")


def test_a_lost_message_is_found_by_the_next_sweep_however_often_it_was_sent(ledger: Ledger) -> None:
    job_id = ledger.start(items=4)
    for _ in range(12):
        claim = ledger.claim(job_id, 0)
        assert claim is not None
        now = ledger.clock.now()
        with transaction(ledger.engine) as session:
            put_back_chunk(session, claim, "serving: away", now, now)
            assert len(republish.wake_idle(session, ledger.window, now, queued=0)) == 1


def test_no_second_message_while_one_waits_in_the_queue(ledger: Ledger) -> None:
    ledger.start(items=8)  # two chunks
    now = ledger.clock.now()
    with transaction(ledger.engine) as session:
        assert republish.wake_idle(session, ledger.window, now, queued=1) == []
        assert len(republish.wake_idle(session, ledger.window, now, queued=0)) == 2
        assert len(republish.wake_idle(session, ledger.window, now, queued=None)) == 2, "the broker does not say"


def test_all_jobs_together_get_one_window_of_messages(ledger: Ledger) -> None:
    for _ in range(3):
        ledger.start(items=8)
    with transaction(ledger.engine) as session:
        assert len(republish.wake_idle(session, ledger.window, ledger.clock.now(), queued=0)) == ledger.window.window


def test_a_chunk_that_the_release_before_has_published_is_claimed(ledger: Ledger) -> None:
    job_id, now = ledger.start(items=4), ledger.clock.now()
    with transaction(ledger.engine) as session:
        published = {"state": ChunkState.PUBLISHED, "due_at": now + timedelta(seconds=30), "publishes": 1}
        session.execute(update(Chunk).values(published))
        assert len(republish.wake_idle(session, ledger.window, now, queued=0)) == 1
    claim = ledger.claim_next()
    assert claim is not None
    assert (claim.job_id, claim.chunk_no) == (job_id, 0)


def test_the_error_budget_is_asked_before_success_also_in_the_only_chunk(ledger: Ledger) -> None:
    one = ledger.start(items=4, error_budget=0.25)
    claim = ledger.claim(one, 0)
    assert claim is not None
    ledger.finish(claim, outcomes_of(claim, failing=(0, 1)))
    job = ledger.job(one)
    assert (job.state, job.error_code, ledger.rows(one)) == (JobState.FAILED, "error_budget", 4)
    many = ledger.start(items=4, chunk_items=1, error_budget=0.25)
    for number in range(4):
        claim = ledger.claim(many, number)
        if claim is not None:
            ledger.finish(claim, [broken(number) if number in (2, 3) else succeeded(number)])
    assert (ledger.job(many).state, ledger.job(many).error_code) == (JobState.FAILED, "error_budget")


def test_an_ended_job_waits_for_nothing(ledger: Ledger) -> None:
    job_id = ledger.start(items=4)
    claim = ledger.claim(job_id, 0)
    assert claim is not None
    now = ledger.clock.now()
    with transaction(ledger.engine) as session:
        request_cancel(session, LOCAL_TENANT_ID, job_id, now)
    with transaction(ledger.engine) as session:
        put_back_chunk(session, claim, "serving: away", now, now)
    job = ledger.job(job_id)
    assert (job.state, job.waiting_for) == (JobState.CANCELLED, None)


def test_retention_counts_from_the_end_and_again_after_a_retry(ledger: Ledger) -> None:
    day = 86_400.0
    job_id = ledger.start(items=4, retention_s=day)
    ledger.clock.advance(2 * day)
    ledger.run(job_id, 0)
    ended = ledger.clock.now()
    assert ledger.job(job_id).expires_at == ended + timedelta(seconds=day)
    ledger.clock.advance(10)
    with transaction(ledger.engine) as session:
        assert retention.delete_expired_jobs(session, ledger.clock.now()) == 0
    ledger.clock.advance(day)
    with transaction(ledger.engine) as session:
        assert retention.delete_expired_jobs(session, ledger.clock.now()) == 1


def test_records_of_silent_processes_are_removed(ledger: Ledger) -> None:
    seen(ledger, "a/1/1/1")
    ledger.clock.advance(100)
    seen(ledger, "b/1/1/1")
    with transaction(ledger.engine) as session:
        forget_silent_processes(session, ledger.clock.now() - timedelta(seconds=50))
        assert set(read_seen(session, {"a/1/1/1", "b/1/1/1"})) == {"b/1/1/1"}


def test_the_database_tells_the_time(engine: Engine) -> None:
    first, second = read_time(engine), read_time(engine)
    assert first.tzinfo is not None
    assert first <= second
