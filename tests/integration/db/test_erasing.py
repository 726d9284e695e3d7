"""A deleted job is gone for everybody at once, and its rows go in pages, on SQLite and on PostgreSQL."""

from __future__ import annotations

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import Engine, event, func, insert, select

from core.access.callers import local_caller
from core.db.access.audit import list_audit
from core.db.access.quotas import check_quotas
from core.db.access.tenants import Quotas, create_tenant, delete_tenant, find_tenant, list_tenants
from core.db.drift import read_drift
from core.db.engine import reading, transaction
from core.db.jobs import NewJob, NewUpload, create_job, find_job_by_key, get_job, list_jobs, read_progress
from core.db.lifecycle import delete_job, fail_job, request_cancel
from core.db.maintenance import purge, retention
from core.db.maintenance.erasing import PAGED, erase_for, erase_job, erase_page, list_gone
from core.db.models import GONE_TENANT_ID, LOCAL_TENANT_ID, Base, Decision, Job, JobState, Result
from core.db.results import ResultFilter, ResultSort, export_results
from core.db.retrying import retry_job
from core.db.review.tables import FurtherRead
from core.db.throughput import read_backlog
from core.db.truth.tables import Truth
from core.errors import DatabaseUnavailableError, JobErrorCode, NotFoundError
from core.ids import new_id
from core.storage.layout import job_prefix, upload_key, upload_prefix
from tests.integration.db.test_ledger_machine import outage_at
from tests.support.ledger import Ledger, outcomes_of

FEW_ROWS = {"tallies", "truth_sets", "job_tags", "presences", "webhooks"}  # for a job, whatever its size


@pytest.fixture
def ledger(engine: Engine) -> Ledger:
    return Ledger(engine)


def finished(ledger: Ledger, *, items: int = 10, **changes: object) -> uuid.UUID:
    """A job with its rows, and with decisions and truths for some of them."""
    job_id = ledger.start(items=items, **changes)
    while (claim := ledger.claim_next()) is not None:
        ledger.finish(claim)
    read = {"job_id": job_id, "revision": 1, "flagged": False, "note": "", "reviewer": "r", "decided_at": ledger.clock.now()}
    with transaction(ledger.engine) as session:
        for number in range(3):
            session.execute(insert(Decision), [{**read, "item_no": number}])
            session.execute(insert(FurtherRead), [{**read, "item_no": number, "read": 2}])
            session.execute(insert(Truth), [{"job_id": job_id, "item_no": number, "label": "a"}])
    return job_id


def delete(ledger: Ledger, job_id: uuid.UUID, tenant_id: uuid.UUID = LOCAL_TENANT_ID) -> list[str]:
    with transaction(ledger.engine) as session:
        return delete_job(session, tenant_id, job_id, ledger.clock.now(), by=local_caller(tenant_id, "ada"))


def rows_of(ledger: Ledger, job_id: uuid.UUID) -> dict[str, int]:
    with reading(ledger.engine) as session:
        return {
            table.name: session.scalar(select(func.count()).select_from(table).where(table.c.job_id == job_id)) or 0
            for table in Base.metadata.sorted_tables
            if "job_id" in table.c
        }


def test_each_table_of_a_job_is_paged_or_has_few_rows() -> None:
    """A table that is added later must be put in one of the two."""
    paged = {table.__tablename__ for table, _, _ in PAGED}
    assert paged | FEW_ROWS == {table.name for table in Base.metadata.sorted_tables if "job_id" in table.c}
    assert not paged & FEW_ROWS


def test_a_deleted_job_is_gone_for_everybody_though_its_rows_are_there(ledger: Ledger) -> None:
    job_id = finished(ledger, idempotency_key="once")
    with reading(ledger.engine) as session:
        assert read_backlog(session).jobs["succeeded"] == 1
    delete(ledger, job_id)
    assert ledger.rows(job_id) == 10
    now = ledger.clock.now()
    with transaction(ledger.engine) as session:
        for ask in (
            lambda: get_job(session, LOCAL_TENANT_ID, job_id),
            lambda: request_cancel(session, LOCAL_TENANT_ID, job_id, now),
            lambda: retry_job(session, LOCAL_TENANT_ID, job_id, now),
            lambda: delete_job(session, LOCAL_TENANT_ID, job_id, now),
        ):
            with pytest.raises(NotFoundError):
                ask()
        assert list_jobs(session, LOCAL_TENANT_ID, limit=10) == []
        assert read_progress(session, job_id) is None
        assert find_job_by_key(session, LOCAL_TENANT_ID, "once") is None
        assert (sum(read_backlog(session).jobs.values()), read_backlog(session).deleted_jobs) == (0, 1)
        assert read_drift(session, now - timedelta(days=9)) == []
        assert purge.find_purgeable(session, now + timedelta(days=1)) == []
        assert retention.delete_expired_jobs(session, now + timedelta(days=9999)) == 0
    with pytest.raises(NotFoundError, match="was deleted"):
        list(export_results(ledger.engine, job_id, chosen=ResultFilter(), sort=ResultSort.ITEM))


def test_the_ledger_keeps_nothing_that_tells_whose_a_deleted_job_was(ledger: Ledger) -> None:
    job_id = finished(ledger, name="jane-doe.zip", idempotency_key="once", request_hash="0" * 64)
    delete(ledger, job_id)
    with reading(ledger.engine) as session:
        job = session.get_one(Job, job_id)
        assert (job.name, job.source, job.tenant_id) == ("", {}, GONE_TENANT_ID)
        assert (job.idempotency_key, job.request_hash, job.upload_id, job.expires_at) == (None, None, None, None)


@pytest.mark.parametrize("page", [1, 3, 4, 1000])
def test_rows_go_in_pages_and_the_job_goes_last(ledger: Ledger, page: int) -> None:
    kept, job_id = finished(ledger), finished(ledger)
    others = rows_of(ledger, kept)
    delete(ledger, job_id)
    left = sum(rows_of(ledger, job_id).values())
    while True:
        with transaction(ledger.engine) as session:
            more = erase_page(session, job_id, page)
        before, left = left, sum(rows_of(ledger, job_id).values())
        with reading(ledger.engine) as session:
            assert (session.get(Job, job_id) is not None) == more
        if not more:
            break
        assert before - left == page
    assert left == 0
    assert rows_of(ledger, kept) == others
    assert ledger.job(kept).state == JobState.SUCCEEDED


def erase_twice(ledger: Ledger, job_id: uuid.UUID, outage: int) -> None:
    with transaction(ledger.engine) as session, outage_at(ledger.engine, outage):
        for _ in range(2):
            erase_page(session, job_id, 5)


def test_a_removal_that_is_interrupted_goes_on(ledger: Ledger) -> None:
    job_id = finished(ledger, items=12)
    delete(ledger, job_id)
    for statement in range(6):
        with pytest.raises(DatabaseUnavailableError):
            erase_twice(ledger, job_id, outage=statement)
        assert ledger.rows(job_id) == 12
        with reading(ledger.engine) as session:
            assert list_gone(session, 10) == [job_id]
    assert erase_for(ledger.engine, 60.0) == 1
    assert not any(rows_of(ledger, job_id).values())
    assert erase_for(ledger.engine, 60.0) == 0


def test_no_time_is_enough_for_one_page(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a removal goes on however little time there is."""
    monkeypatch.setattr("core.db.maintenance.erasing.PAGE", 4)
    first, second = finished(ledger), finished(ledger)
    for job_id in (first, second):
        delete(ledger, job_id)
    assert erase_for(ledger.engine, 0.0) == 0
    assert (ledger.rows(first), ledger.rows(second)) == (6, 10)
    assert erase_job(ledger.engine, second, seconds=0.0)
    assert ledger.rows(second) == 6
    assert not erase_job(ledger.engine, second)
    assert ledger.rows(second) == 0


def test_a_job_whose_last_page_takes_all_the_time_counts(ledger: Ledger) -> None:
    for job_id in (finished(ledger), finished(ledger)):
        delete(ledger, job_id)
    assert [erase_for(ledger.engine, 0.0) for _ in range(3)] == [1, 1, 0]


def test_a_page_is_removed_by_key_whatever_the_jobs_size(ledger: Ledger) -> None:
    """As many statements, and none that removes rows without a bound but the last."""
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    counts = []
    for items in (12, 400):
        job_id = finished(ledger, items=items)
        delete(ledger, job_id)
        statements.clear()
        event.listen(ledger.engine, "before_cursor_execute", note)
        with transaction(ledger.engine) as session:
            assert erase_page(session, job_id, 4)
        event.remove(ledger.engine, "before_cursor_execute", note)
        removed = [text for text in statements if text.startswith("DELETE")]
        assert [text.split()[2] for text in removed] == ["results"]
        assert "item_no <=" in removed[0]
        counts.append(len(statements))
    assert counts[0] == counts[1]


def test_quotas_and_the_tenant_itself_do_not_wait_for_the_rows(ledger: Ledger) -> None:
    now, admin = ledger.clock.now(), local_caller(LOCAL_TENANT_ID, "ada")
    with transaction(ledger.engine) as session:
        tenant = create_tenant(session, admin, "north", now, quotas=Quotas(max_bytes=100, max_jobs=1))
    upload_id = new_id()
    upload = NewUpload(upload_id, upload_key(upload_id), "a.zip", 90, "0" * 64)
    job_id = finished(ledger, tenant_id=tenant.id, upload=upload)
    assert delete(ledger, job_id, tenant.id) == [job_prefix(job_id), upload_prefix(upload_id)]
    with transaction(ledger.engine) as session:
        check_quotas(session, tenant.id, 100)
        delete_tenant(session, admin, find_tenant(session, "north"), now)
    assert ledger.rows(job_id) == 10
    ledger.erase(job_id)
    assert ledger.rows(job_id) == 0


def test_the_tenant_of_deleted_jobs_is_nobodys(ledger: Ledger) -> None:
    delete(ledger, finished(ledger))
    with reading(ledger.engine) as session:
        assert [tenant.name for tenant in list_tenants(session)] == ["default"]
        for name in ("-deleted", str(GONE_TENANT_ID)):
            with pytest.raises(NotFoundError):
                find_tenant(session, name)


def test_an_idempotency_key_is_free_again(ledger: Ledger) -> None:
    first = finished(ledger, idempotency_key="once")
    delete(ledger, first)
    second = finished(ledger, idempotency_key="once")
    delete(ledger, second)
    assert {first, second} == set(gone(ledger))


def gone(ledger: Ledger) -> list[uuid.UUID]:
    with reading(ledger.engine) as session:
        return list(list_gone(session, 10))


def test_a_worker_that_holds_a_chunk_adds_no_row(ledger: Ledger) -> None:
    job_id = ledger.start(items=8)
    claim = ledger.claim(job_id, 0)
    assert claim is not None
    with transaction(ledger.engine) as session:
        job = session.get_one(Job, job_id, with_for_update=True)
        fail_job(session, job, JobErrorCode.INTERNAL_ERROR, "why", ledger.clock.now())
    delete(ledger, job_id)
    assert not ledger.finish(claim, outcomes_of(claim))
    assert ledger.rows(job_id) == 0
    assert ledger.claim_next() is None
    ledger.erase(job_id, rows=1)
    assert not ledger.finish(claim, outcomes_of(claim))
    assert not any(rows_of(ledger, job_id).values())


def test_several_that_remove_the_same_rows_do_not_disturb_each_other(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """The request that deletes, a purge and the sweeps of all workers may meet."""
    monkeypatch.setattr("core.db.maintenance.erasing.PAGE", 5)
    jobs = [finished(ledger, items=40) for _ in range(2)]
    for job_id in jobs:
        delete(ledger, job_id)
    meeting = threading.Barrier(4)

    def erase(_: int) -> int:
        meeting.wait()
        return erase_for(ledger.engine, 60.0)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(erase, range(4)))
    assert erase_for(ledger.engine, 60.0) == 0, "between them they have removed all"
    assert [sum(rows_of(ledger, job_id).values()) for job_id in jobs] == [0, 0]


def test_the_audit_has_the_counts_once(ledger: Ledger) -> None:
    job_id = finished(ledger)
    delete(ledger, job_id)
    ledger.erase(job_id, rows=2)
    with reading(ledger.engine) as session:
        found = [(each.actor, each.detail) for each in list_audit(session) if each.action == "job.delete"]
    assert found == [("ada", {"succeeded": 10, "failed": 0, "objects": 1})]


def test_retention_hides_many_jobs_in_one_short_transaction(ledger: Ledger) -> None:
    jobs = [finished(ledger, retention_s=5.0) for _ in range(3)]
    ledger.clock.advance(6)
    with transaction(ledger.engine) as session:
        assert retention.delete_expired_jobs(session, ledger.clock.now()) == 3
    assert sorted(gone(ledger)) == sorted(jobs)
    with reading(ledger.engine) as session:
        assert session.scalar(select(func.count()).select_from(Result)) == 30
    assert erase_for(ledger.engine, 60.0) == 3
    with reading(ledger.engine) as session:
        assert session.scalar(select(func.count()).select_from(Result)) == 0


def test_a_job_that_was_never_deleted_loses_no_row(ledger: Ledger) -> None:
    job_id = finished(ledger)
    with transaction(ledger.engine) as session:
        assert not erase_page(session, job_id, 5)
        create_job(session, NewJob(LOCAL_TENANT_ID, "b", {"kind": "path", "path": "/b"}, "tiny"), ledger.clock.now())
    assert ledger.rows(job_id) == 10
