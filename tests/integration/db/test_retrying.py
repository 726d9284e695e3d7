"""A retry of many failed items goes by pages: no transaction is long, no page is lost, and the job ends once."""

from __future__ import annotations

import uuid

import pytest
from sqlalchemy import Engine, select

from core.db.engine import reading, transaction
from core.db.jobs import read_tallies
from core.db.lifecycle import request_cancel
from core.db.maintenance import republish
from core.db.models import LOCAL_TENANT_ID, JobState, Result
from core.db.retrying import continue_retry, retry_job
from core.errors import ItemErrorCode
from tests.support.ledger import Ledger, broken, outcomes_of

ITEMS, CHUNK, PAGE = 40, 8, 10


@pytest.fixture
def ledger(engine: Engine) -> Ledger:
    return Ledger(engine)


def failed_job(ledger: Ledger) -> uuid.UUID:
    """Every item failed: even ones as truncated, odd ones as too large."""
    job_id = ledger.start(items=ITEMS, chunk_items=CHUNK)
    codes = (ItemErrorCode.TRUNCATED, ItemErrorCode.TOO_LARGE)
    for number in range(ITEMS // CHUNK):
        claim = ledger.claim(job_id, number)
        assert claim is not None
        ledger.finish(claim, [broken(item, codes[item % 2]) for item in claim.item_numbers])
    return job_id


def begin(ledger: Ledger, job_id: uuid.UUID, codes: list[str] | None = None) -> None:
    with transaction(ledger.engine) as session:
        retry_job(session, LOCAL_TENANT_ID, job_id, ledger.clock.now(), codes, page_items=PAGE)


def next_page(ledger: Ledger, job_id: uuid.UUID) -> bool:
    with transaction(ledger.engine) as session:
        return continue_retry(session, job_id, ledger.window, ledger.clock.now(), page_items=PAGE)[1]


def run_all(ledger: Ledger, job_id: uuid.UUID) -> None:
    for chunk in ledger.chunks(job_id):
        claim = ledger.claim(job_id, chunk.chunk_no)
        if claim is not None:
            ledger.finish(claim)


def test_each_page_moves_its_items_and_keeps_the_counts(ledger: Ledger) -> None:
    job_id = failed_job(ledger)
    begin(ledger, job_id)
    for page in range(1, ITEMS // PAGE + 1):
        job = ledger.job(job_id)
        assert (job.state, job.remaining, job.failed) == (JobState.RUNNING, page * PAGE, ITEMS - page * PAGE)
        with reading(ledger.engine) as session:
            assert sum(read_tallies(session, job_id).errors.values()) == ITEMS - page * PAGE
        assert ledger.rows(job_id) == ITEMS - page * PAGE
        assert next_page(ledger, job_id) == (page < ITEMS // PAGE - 1)
    run_all(ledger, job_id)
    run_all(ledger, job_id)
    run_all(ledger, job_id)
    job = ledger.job(job_id)
    assert (job.state, job.succeeded, job.failed, ledger.rows(job_id)) == (JobState.SUCCEEDED, ITEMS, 0, ITEMS)


def test_only_the_items_of_the_codes_move(ledger: Ledger) -> None:
    job_id = failed_job(ledger)
    begin(ledger, job_id, ["truncated"])
    while next_page(ledger, job_id):
        pass
    for _ in range(3):
        run_all(ledger, job_id)
    job = ledger.job(job_id)
    assert (job.state, job.succeeded, job.failed) == (JobState.SUCCEEDED, ITEMS // 2, ITEMS // 2)
    with reading(ledger.engine) as session:
        succeeded = session.scalars(select(Result.item_no).where(Result.job_id == job_id, Result.state == "succeeded"))
        assert sorted(succeeded) == list(range(0, ITEMS, 2))


def test_between_two_pages_the_job_does_not_end_nor_fail_by_its_budget(ledger: Ledger) -> None:
    job_id = failed_job(ledger)
    with transaction(ledger.engine) as session:
        retry_job(session, LOCAL_TENANT_ID, job_id, ledger.clock.now(), page_items=PAGE).error_budget = 0.5
    run_all(ledger, job_id)  # all of the first page is done before the second one is taken
    job = ledger.job(job_id)
    assert (job.state, job.remaining, job.failed, job.succeeded) == (JobState.RUNNING, 0, ITEMS - PAGE, PAGE)


def test_the_sweep_goes_on_with_a_retry_whose_caller_died(ledger: Ledger) -> None:
    job_id = failed_job(ledger)
    begin(ledger, job_id)
    for _ in range(ITEMS):
        ledger.clock.advance(60)
        with transaction(ledger.engine) as session:
            republish.top_up_jobs(session, ledger.window, ledger.clock.now(), None)
        run_all(ledger, job_id)
    job = ledger.job(job_id)
    assert (job.state, job.succeeded, job.failed) == (JobState.SUCCEEDED, ITEMS, 0)


def test_a_cancel_between_two_pages_stops_the_retry(ledger: Ledger) -> None:
    job_id = failed_job(ledger)
    begin(ledger, job_id)
    with transaction(ledger.engine) as session:
        request_cancel(session, LOCAL_TENANT_ID, job_id, ledger.clock.now())
    assert not next_page(ledger, job_id)
    job = ledger.job(job_id)
    assert (job.state, job.remaining, job.failed, ledger.rows(job_id)) == (JobState.CANCELLED, PAGE, ITEMS - PAGE, ITEMS - PAGE)
    begin(ledger, job_id)
    while next_page(ledger, job_id):
        pass
    for _ in range(3):
        run_all(ledger, job_id)
    assert (ledger.job(job_id).state, ledger.job(job_id).succeeded) == (JobState.SUCCEEDED, ITEMS)


def test_a_small_retry_is_one_transaction(ledger: Ledger) -> None:
    job_id = ledger.start(items=8, chunk_items=8)
    claim = ledger.claim(job_id, 0)
    assert claim is not None
    ledger.finish(claim, outcomes_of(claim, failing=(3, 5)))
    with transaction(ledger.engine) as session:
        retry_job(session, LOCAL_TENANT_ID, job_id, ledger.clock.now())
    job = ledger.job(job_id)
    assert (job.state, job.remaining, job.reopening) == (JobState.RUNNING, 2, None)


def test_a_retry_has_its_own_rate(ledger: Ledger) -> None:
    job_id = ledger.start(items=8, chunk_items=8)
    claim = ledger.claim(job_id, 0)
    assert claim is not None
    ledger.finish(claim, outcomes_of(claim, failing=(3,)))
    assert ledger.job(job_id).done_before is None
    ledger.clock.advance(3600)
    begin(ledger, job_id)
    assert (ledger.job(job_id).done_before, ledger.job(job_id).running_at) == (7, ledger.clock.now())
