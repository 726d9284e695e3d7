"""Transactions that meet, on SQLite and on PostgreSQL: none is lost, and none waits for one that waits for it."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, func, select, update

import core.db.chunks
from core.access.callers import local_caller
from core.db.engine import open_engine, reading, transaction
from core.db.lifecycle import delete_job, fail_job, request_cancel
from core.db.maintenance import retention
from core.db.models import LOCAL_TENANT_ID, TERMINAL_STATES, Job, JobState
from core.db.schema.migrate import upgrade
from core.db.waiting import note_waiting
from core.db.webhooks.store import MOST, NewWebhook, create_webhook
from core.db.webhooks.tables import Webhook
from core.errors import ConflictError, JobErrorCode
from core.settings import DatabaseSettings
from tests.support.ledger import Ledger, outcomes_of

PATIENCE_S = 30.0
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def ledger(engine: Engine) -> Ledger:
    return Ledger(engine)


@pytest.fixture
def postgres_ledger(postgres_url: str) -> Iterator[Ledger]:
    engine = open_engine(postgres_url, DatabaseSettings())
    upgrade(engine)
    yield Ledger(engine)
    engine.dispose()


def fail(ledger: Ledger, job_id: uuid.UUID) -> None:
    with transaction(ledger.engine) as session:
        fail_job(session, session.get_one(Job, job_id), JobErrorCode.ARCHIVE_GONE, "it is gone", ledger.clock.now())


def delete(ledger: Ledger, job_id: uuid.UUID) -> None:
    with transaction(ledger.engine) as session:
        delete_job(session, LOCAL_TENANT_ID, job_id, ledger.clock.now())


def in_thread(work: Callable[[], object], errors: list[BaseException]) -> threading.Thread:
    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_a_note_beside_other_changes_loses_none_of_them(postgres_ledger: Ledger) -> None:
    job_id = postgres_ledger.start(items=4)
    before = postgres_ledger.job(job_id).revision
    with transaction(postgres_ledger.engine) as session:
        loaded = session.get_one(Job, job_id)
        for _ in range(3):
            with transaction(postgres_ledger.engine) as other:
                other.execute(update(Job).where(Job.id == job_id).values(revision=Job.revision + 1))
        note_waiting(session, job_id, "broker: away", NOW)
    assert loaded.id == job_id
    job = postgres_ledger.job(job_id)
    assert (job.revision, job.waiting_for) == (before + 4, "broker: away")


def test_a_note_is_a_change_once_and_an_ended_job_takes_none(ledger: Ledger) -> None:
    job_id = ledger.start(items=4)
    before = ledger.job(job_id).revision
    for _ in range(3):
        with transaction(ledger.engine) as session:
            note_waiting(session, job_id, "broker: away", NOW)
    assert ledger.job(job_id).revision == before + 1
    ledger.run(job_id, 0)
    ended = ledger.job(job_id)
    with transaction(ledger.engine) as session:
        note_waiting(session, job_id, "broker: away", NOW)
    assert (ledger.job(job_id).waiting_for, ledger.job(job_id).revision) == (None, ended.revision)


def test_a_failed_job_is_deleted_while_its_last_chunk_ends(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = ledger.start(items=4)
    claim = ledger.claim(job_id, 0)
    assert claim is not None
    fail(ledger, job_id)
    holds_chunk, goes_on = threading.Event(), threading.Event()
    insert = core.db.chunks.insert_outcomes

    def insert_late(*arguments: object) -> None:
        holds_chunk.set()
        assert goes_on.wait(PATIENCE_S)
        insert(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(core.db.chunks, "insert_outcomes", insert_late)
    errors: list[BaseException] = []
    finishing = in_thread(lambda: ledger.finish(claim, outcomes_of(claim)), errors)
    assert holds_chunk.wait(PATIENCE_S)
    deleting = in_thread(lambda: delete(ledger, job_id), errors)
    deleting.join(0.5)  # it waits for the chunk by now
    goes_on.set()
    for thread in (finishing, deleting):
        thread.join(PATIENCE_S)
    assert errors == []
    ledger.erase(job_id)
    with reading(ledger.engine) as session:
        assert session.get(Job, job_id) is None
    assert (ledger.chunks(job_id), ledger.rows(job_id)) == ([], 0)


def test_a_chunk_that_ends_after_its_job_was_deleted_changes_nothing(ledger: Ledger) -> None:
    job_id = ledger.start(items=4)
    claim = ledger.claim(job_id, 0)
    assert claim is not None
    fail(ledger, job_id)
    delete(ledger, job_id)
    assert not ledger.finish(claim)
    assert ledger.rows(job_id) == 0


def test_retention_leaves_a_job_alone_of_which_a_chunk_still_runs(ledger: Ledger) -> None:
    job_id = ledger.start(items=4, retention_s=10.0)
    claim = ledger.claim(job_id, 0)
    assert claim is not None
    fail(ledger, job_id)
    ledger.clock.advance(11)
    with transaction(ledger.engine) as session:
        assert retention.delete_expired_jobs(session, ledger.clock.now()) == 0
    ledger.finish(claim)
    with transaction(ledger.engine) as session:
        assert retention.delete_expired_jobs(session, ledger.clock.now()) == 1


def test_a_job_that_has_ended_cannot_be_cancelled(ledger: Ledger) -> None:
    succeeded, failed, cancelled = (ledger.start(items=4) for _ in range(3))
    ledger.run(succeeded, 0)
    fail(ledger, failed)
    for _ in range(2):  # the second time changes nothing
        with transaction(ledger.engine) as session:
            assert request_cancel(session, LOCAL_TENANT_ID, cancelled, ledger.clock.now()).state == JobState.CANCELLED
    for job_id, state in ((succeeded, JobState.SUCCEEDED), (failed, JobState.FAILED)):
        assert state in TERMINAL_STATES
        revision = ledger.job(job_id).revision
        with pytest.raises(ConflictError, match=f"has ended already: it {state}"), transaction(ledger.engine) as session:
            request_cancel(session, LOCAL_TENANT_ID, job_id, ledger.clock.now())
        assert (ledger.job(job_id).state, ledger.job(job_id).revision) == (state, revision)


def test_two_webhooks_made_at_once_do_not_exceed_the_limit(engine: Engine) -> None:
    new, caller = NewWebhook(LOCAL_TENANT_ID, "https://example.org/hook"), local_caller(LOCAL_TENANT_ID, "a test")
    errors: list[BaseException] = []

    def make_another() -> None:
        with transaction(engine) as session:
            create_webhook(session, caller, new, NOW)

    for _ in range(MOST - 1):
        make_another()
    with transaction(engine) as session:
        create_webhook(session, caller, new, NOW)
        another = in_thread(make_another, errors)
        another.join(1)
        assert another.is_alive(), "it waits for the one that came first"
    another.join(PATIENCE_S)
    assert [type(error) for error in errors] == [ConflictError]
    with reading(engine) as session:
        assert session.scalar(select(func.count()).select_from(Webhook)) == MOST
