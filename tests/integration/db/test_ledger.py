"""The ledger's promises, each on SQLite and on PostgreSQL."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError

from core.db.chunks import fail_chunk_job, finish_chunk, put_back_chunk
from core.db.engine import reading, transaction
from core.db.jobs import Tallies, find_job_by_key, list_jobs, read_tallies
from core.db.lifecycle import delete_job, request_cancel
from core.db.maintenance import republish, rescue
from core.db.models import LOCAL_TENANT_ID, ChunkState, JobState
from core.db.preparing import claim_prepare, fail_prepare, put_back_prepare, renew_prepare
from core.db.retrying import retry_job
from core.db.turns import look_around
from core.errors import ConflictError, ItemErrorCode, JobErrorCode, NotFoundError
from core.ids import new_id
from core.messages import CLASSIFY, QUEUE_BULK, QUEUE_INTERACTIVE
from tests.support.ledger import LEASE_S, Ledger, broken, outcomes_of, succeeded


@pytest.fixture
def ledger(engine: Engine) -> Ledger:
    return Ledger(engine)


def test_a_job_runs_from_submission_to_success(ledger: Ledger) -> None:
    job_id = ledger.submit()
    assert ledger.job(job_id).state == JobState.QUEUED
    messages = ledger.prepare(job_id, items=10)
    assert [(m.task, m.queue, m.args) for m in messages or []] == [(CLASSIFY, QUEUE_BULK, ())] * 3
    assert (ledger.job(job_id).total, ledger.job(job_id).skipped) == (10, 2)
    for number in range(3):
        assert ledger.run(job_id, number)
    job = ledger.job(job_id)
    assert (job.state, job.remaining, job.succeeded, job.failed, job.version) == (JobState.SUCCEEDED, 0, 10, 0, 7)
    assert job.running_at is not None
    assert job.succeeded_at is not None
    assert ledger.rows(job_id) == 10


def test_an_archive_without_items_succeeds_at_once(ledger: Ledger) -> None:
    job_id = ledger.submit()
    assert ledger.prepare(job_id, items=0) == []
    assert ledger.job(job_id).state == JobState.SUCCEEDED


def test_as_many_messages_as_a_window_whatever_the_number_of_chunks(ledger: Ledger) -> None:
    job_id = ledger.submit()
    assert len(ledger.prepare(job_id, items=40) or []) == 3  # ten chunks
    assert {chunk.state for chunk in ledger.chunks(job_id)} == {ChunkState.PENDING}


def test_interactive_jobs_have_their_queue(ledger: Ledger) -> None:
    single = ledger.submit(interactive=True)
    assert [m.queue for m in ledger.prepare(single, items=1) or []] == [QUEUE_INTERACTIVE]


def test_a_chunk_is_claimed_once(ledger: Ledger) -> None:
    job_id = ledger.start(items=4)
    assert ledger.claim(job_id, 0) is not None
    assert ledger.claim(job_id, 0) is None
    assert ledger.claim(job_id, 99) is None


def test_one_chunk_run_by_ten_workers_at_once_leaves_one_set_of_rows(ledger: Ledger) -> None:
    job_id = ledger.start(items=8)
    claimed: list[object] = []

    def work() -> None:
        claim = ledger.claim(job_id, 0)
        if claim is not None:
            claimed.append(claim)
            ledger.finish(claim)

    threads = [threading.Thread(target=work) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(claimed) == 1
    assert (ledger.rows(job_id), ledger.job(job_id).remaining) == (4, 4)


def test_finishing_twice_changes_nothing(ledger: Ledger) -> None:
    job_id = ledger.start(items=8)
    claim = ledger.claim(job_id, 0)
    assert claim is not None
    assert ledger.finish(claim)
    assert not ledger.finish(claim)
    assert (ledger.rows(job_id), ledger.job(job_id).remaining, ledger.job(job_id).succeeded) == (4, 4, 4)


def test_a_worker_with_a_stale_lease_changes_nothing(ledger: Ledger) -> None:
    job_id = ledger.start(items=4)
    stale = ledger.claim(job_id, 0)
    assert stale is not None
    ledger.clock.advance(LEASE_S + 1)
    with transaction(ledger.engine) as session:
        assert len(rescue.rescue_chunks(session, ledger.rescue, ledger.clock.now())) == 1
    fresh = ledger.claim(job_id, 0)
    assert fresh is not None
    assert fresh.attempt > stale.attempt
    assert not ledger.finish(stale)
    assert ledger.rows(job_id) == 0
    assert ledger.finish(fresh)
    assert ledger.job(job_id).state == JobState.SUCCEEDED


def test_failed_items_do_not_fail_the_job_and_are_tallied(ledger: Ledger) -> None:
    job_id = ledger.start(items=4)
    claim = ledger.claim(job_id, 0)
    assert claim is not None
    ledger.finish(claim, outcomes_of(claim, failing=[1, 3]))
    job = ledger.job(job_id)
    assert (job.state, job.succeeded, job.failed) == (JobState.SUCCEEDED, 2, 2)
    with reading(ledger.engine) as session:
        assert read_tallies(session, job_id) == Tallies({"a": 2}, {"truncated": 2}, {})


def test_the_soft_limit_commits_what_is_finished(ledger: Ledger) -> None:
    job_id = ledger.start(items=4)
    claim = ledger.claim(job_id, 0)
    assert claim is not None
    assert ledger.finish(claim, [succeeded(0), succeeded(2)])
    rest = ledger.claim_next()
    assert rest is not None
    assert rest.item_numbers == (1, 3)
    ledger.finish(rest)
    assert (ledger.job(job_id).state, ledger.rows(job_id)) == (JobState.SUCCEEDED, 4)


def test_an_unavailable_dependency_costs_no_attempt_and_is_named(ledger: Ledger) -> None:
    job_id = ledger.start(items=4)
    claim = ledger.claim(job_id, 0)
    assert claim is not None
    due = ledger.clock.now() + timedelta(seconds=8)
    with transaction(ledger.engine) as session:
        assert put_back_chunk(session, claim, "serving: away", due, ledger.clock.now())
    (chunk,) = ledger.chunks(job_id)
    assert (chunk.state, chunk.crashes, chunk.waits) == (ChunkState.PENDING, 0, 1)
    assert ledger.job(job_id).waiting_for == "serving: away"
    assert ledger.claim(job_id, 0) is None, "it backs off"
    ledger.clock.advance(9)
    with transaction(ledger.engine) as session:
        assert len(republish.wake_idle(session, ledger.window, ledger.clock.now(), queued=0)) == 1
    assert ledger.run(job_id, 0)
    assert (ledger.job(job_id).state, ledger.job(job_id).waiting_for) == (JobState.SUCCEEDED, None)


def test_cancel_drops_what_waits_and_lets_running_chunks_come_home(ledger: Ledger) -> None:
    job_id = ledger.start(items=40)
    claim = ledger.claim(job_id, 0)
    assert claim is not None
    with transaction(ledger.engine) as session:
        assert request_cancel(session, LOCAL_TENANT_ID, job_id, ledger.clock.now()).state == JobState.CANCELLING
    with reading(ledger.engine) as session:
        assert not look_around(session, job_id, 1.0, ledger.clock.now()).wanted
    assert ledger.claim(job_id, 1) is None
    assert ledger.finish(claim, [succeeded(0)])
    job = ledger.job(job_id)
    assert (job.state, job.succeeded, ledger.rows(job_id)) == (JobState.CANCELLED, 1, 1)
    with transaction(ledger.engine) as session:
        assert request_cancel(session, LOCAL_TENANT_ID, job_id, ledger.clock.now()).state == JobState.CANCELLED


def test_cancel_of_a_job_that_nobody_holds_is_immediate(ledger: Ledger) -> None:
    queued, running = ledger.submit(), ledger.start(items=8)
    with transaction(ledger.engine) as session:
        for job_id in (queued, running):
            assert request_cancel(session, LOCAL_TENANT_ID, job_id, ledger.clock.now()).state == JobState.CANCELLED
    assert ledger.prepare(queued, items=3) is None


def test_cancel_during_prepare_is_final(ledger: Ledger) -> None:
    job_id = ledger.submit()
    with transaction(ledger.engine) as session:
        claim = claim_prepare(session, job_id, owner="w", now=ledger.clock.now(), lease_s=LEASE_S)
        assert claim is not None
    with transaction(ledger.engine) as session:
        request_cancel(session, LOCAL_TENANT_ID, job_id, ledger.clock.now())
    with transaction(ledger.engine) as session:
        assert not renew_prepare(session, claim, ledger.clock.now(), LEASE_S)
        assert not fail_prepare(session, claim, JobErrorCode.SERVING_ERROR, "y", ledger.clock.now())
    assert ledger.job(job_id).state == JobState.CANCELLED


def test_retry_runs_failed_items_again(ledger: Ledger) -> None:
    job_id = ledger.start(items=8)
    for number, failing in ((0, [1, 2]), (1, [7])):
        claim = ledger.claim(job_id, number)
        assert claim is not None
        codes = {7: ItemErrorCode.BAD_CHECKSUM}
        ledger.finish(
            claim,
            [broken(n, codes.get(n, ItemErrorCode.TRUNCATED)) if n in failing else succeeded(n) for n in claim.item_numbers],
        )
    with transaction(ledger.engine) as session:
        job = retry_job(session, LOCAL_TENANT_ID, job_id, ledger.clock.now(), codes=["truncated"])
        assert (job.state, job.remaining, job.failed, job.succeeded_at) == (JobState.RUNNING, 2, 1, None)
    (again,) = [chunk for chunk in ledger.chunks(job_id) if chunk.state == ChunkState.PENDING]
    assert (again.picked, again.index_offset) == ([1, 2], 0)
    ledger.run(job_id, again.chunk_no)
    job = ledger.job(job_id)
    assert (job.state, job.succeeded, job.failed, ledger.rows(job_id)) == (JobState.SUCCEEDED, 7, 1, 8)
    with reading(ledger.engine) as session:
        assert read_tallies(session, job_id) == Tallies({"a": 7}, {"bad_checksum": 1}, {})


def test_retry_of_a_cancelled_job_runs_what_never_ran(ledger: Ledger) -> None:
    job_id = ledger.start(items=8)
    ledger.run(job_id, 0)
    with transaction(ledger.engine) as session:
        request_cancel(session, LOCAL_TENANT_ID, job_id, ledger.clock.now())
        assert retry_job(session, LOCAL_TENANT_ID, job_id, ledger.clock.now()).state == JobState.RUNNING
    ledger.run(job_id, 1)
    assert (ledger.job(job_id).state, ledger.rows(job_id)) == (JobState.SUCCEEDED, 8)


def test_retry_refuses_a_running_job_and_one_without_failures(ledger: Ledger) -> None:
    job_id = ledger.start(items=4)
    with transaction(ledger.engine) as session, pytest.raises(ConflictError, match="expected an ended job"):
        retry_job(session, LOCAL_TENANT_ID, job_id, ledger.clock.now())
    ledger.run(job_id, 0)
    with pytest.raises(ConflictError, match="no failed items"), transaction(ledger.engine) as session:
        retry_job(session, LOCAL_TENANT_ID, job_id, ledger.clock.now())
    assert ledger.job(job_id).state == JobState.SUCCEEDED


def test_retry_of_an_unprepared_job_starts_from_the_beginning(ledger: Ledger) -> None:
    job_id = ledger.submit()
    with transaction(ledger.engine) as session:
        claim = claim_prepare(session, job_id, owner="w", now=ledger.clock.now(), lease_s=LEASE_S)
        assert claim is not None
        assert fail_prepare(session, claim, JobErrorCode.UNKNOWN_MODEL, "no model\x00", ledger.clock.now())
    failed = ledger.job(job_id)
    assert (failed.state, failed.error_code, failed.error) == (JobState.FAILED, "unknown_model", "no model\\x00")
    with transaction(ledger.engine) as session:
        assert retry_job(session, LOCAL_TENANT_ID, job_id, ledger.clock.now()).state == JobState.QUEUED
    assert ledger.prepare(job_id, items=2) is not None


def test_an_exhausted_error_budget_fails_the_job_and_keeps_its_rows(ledger: Ledger) -> None:
    job_id = ledger.start(items=40, error_budget=0.05)
    claim = ledger.claim(job_id, 0)
    straggler = ledger.claim(job_id, 1)
    assert claim is not None
    assert straggler is not None
    assert ledger.finish(claim, outcomes_of(claim, failing=[0, 1, 2]))
    job = ledger.job(job_id)
    assert (job.state, job.error_code, ledger.rows(job_id)) == (JobState.FAILED, "error_budget", 4)
    assert ledger.finish(straggler)
    assert (ledger.job(job_id).state, ledger.rows(job_id)) == (JobState.FAILED, 8)


def test_a_vanished_version_fails_the_job(ledger: Ledger) -> None:
    job_id = ledger.start(items=8)
    claim = ledger.claim(job_id, 0)
    assert claim is not None
    with transaction(ledger.engine) as session:
        assert fail_chunk_job(session, claim, JobErrorCode.UNKNOWN_MODEL, "version 7 is gone", ledger.clock.now())
    assert ledger.job(job_id).state == JobState.FAILED
    assert {chunk.state for chunk in ledger.chunks(job_id)} == {ChunkState.CANCELLED}


def test_prepare_waits_for_a_dependency(ledger: Ledger) -> None:
    job_id = ledger.submit()
    with transaction(ledger.engine) as session:
        claim = claim_prepare(session, job_id, owner="w", now=ledger.clock.now(), lease_s=LEASE_S)
        assert claim is not None
        due = ledger.clock.now() + timedelta(seconds=4)
        assert put_back_prepare(session, claim, "serving: no answer", due, ledger.clock.now())
    assert (ledger.job(job_id).state, ledger.job(job_id).waiting_for) == (JobState.QUEUED, "serving: no answer")
    with transaction(ledger.engine) as session:
        assert republish.publish_due_jobs(session, ledger.window, ledger.clock.now()) == []
        assert len(republish.publish_due_jobs(session, ledger.window, due)) == 1


def test_deleting_a_job_takes_its_rows_along(ledger: Ledger) -> None:
    job_id = ledger.start(items=4)
    with pytest.raises(ConflictError, match="cancel it first"), transaction(ledger.engine) as session:
        delete_job(session, LOCAL_TENANT_ID, job_id, ledger.clock.now())
    ledger.run(job_id, 0)
    with transaction(ledger.engine) as session:
        assert delete_job(session, LOCAL_TENANT_ID, job_id, ledger.clock.now()) == [f"jobs/{job_id}/"]
    with pytest.raises(NotFoundError):
        ledger.job(job_id)
    ledger.erase(job_id)
    assert (ledger.rows(job_id), ledger.chunks(job_id)) == (0, [])


def test_jobs_belong_to_a_tenant_and_keys_are_unique_within_it(ledger: Ledger) -> None:
    first = ledger.submit(idempotency_key="k")
    with pytest.raises(IntegrityError):
        ledger.submit(idempotency_key="k")
    second = ledger.submit()
    with reading(ledger.engine) as session:
        found = find_job_by_key(session, LOCAL_TENANT_ID, "k")
        assert found is not None
        assert found.id == first
        assert find_job_by_key(session, new_id(), "k") is None
        assert [job.id for job in list_jobs(session, LOCAL_TENANT_ID, limit=10)] == [second, first]
        assert [job.id for job in list_jobs(session, LOCAL_TENANT_ID, limit=10, before=second)] == [first]


def test_a_finish_that_is_run_again_after_a_lost_commit_leaves_the_same_rows(ledger: Ledger) -> None:
    job_id = ledger.start(items=4)
    claim = ledger.claim(job_id, 0)
    assert claim is not None
    for _ in range(3):
        with transaction(ledger.engine) as session:
            finish_chunk(session, claim, outcomes_of(claim), ledger.clock.now())
    assert (ledger.rows(job_id), ledger.job(job_id).succeeded) == (4, 4)
