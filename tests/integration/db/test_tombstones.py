"""What a deleted job leaves in the storage is remembered until it is gone, on SQLite and on PostgreSQL."""

from __future__ import annotations

import threading
import uuid
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from core.db.engine import transaction
from core.db.jobs import NewUpload
from core.db.lifecycle import delete_job
from core.db.models import LOCAL_TENANT_ID
from core.db.tombstones import bury, bury_if_gone, list_due, postpone, remove
from core.db.uploads.partial import LIFETIME, add_part, begin_upload
from core.errors import ConflictError, StorageUnavailableError
from core.settings import Settings
from core.storage.layout import job_prefix, upload_key, upload_prefix
from core.storage.local import LocalStorage
from tests.support.ledger import Ledger
from worker.context import WorkerContext
from worker.maintenance.retention import delete_expired, empty_tombstones, end_uploads, erase_deleted


@pytest.fixture
def ledger(engine: Engine) -> Ledger:
    return Ledger(engine)


class HalfAway(LocalStorage):
    """A storage that cannot delete some prefixes."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.away: set[str] = set()

    def delete_prefix(self, prefix: str) -> int:
        if prefix in self.away:
            raise StorageUnavailableError("no answer")
        return super().delete_prefix(prefix)


@pytest.fixture
def context(ledger: Ledger, tmp_path: Path) -> WorkerContext:
    return WorkerContext(
        settings=Settings(),
        engine=ledger.engine,
        storage=HalfAway(tmp_path / "objects"),
        client=None,  # type: ignore[arg-type] - no duty of the sweep asks Serving
        publish=lambda _: None,
        clock=ledger.clock,
    )


def write(context: WorkerContext, key: str) -> None:
    with context.storage.writer(key) as writer:
        writer.write(b"x")
        writer.commit()


def keys(context: WorkerContext) -> set[str]:
    return {each.key for each in context.storage.list("")}


def test_one_prefix_that_cannot_go_does_not_keep_the_others(ledger: Ledger, context: WorkerContext) -> None:
    jobs = [ledger.start(items=4, retention_s=0.0) for _ in range(3)]
    for job_id in jobs:
        ledger.run(job_id, 0)
        write(context, f"{job_prefix(job_id)}index")
    stuck = job_prefix(jobs[0])
    assert isinstance(context.storage, HalfAway)
    context.storage.away.add(stuck)
    delete_expired(context)
    empty_tombstones(context)
    assert keys(context) == {f"{stuck}index"}
    empty_tombstones(context)  # not due yet
    context.storage.away.clear()
    ledger.clock.advance(6)
    empty_tombstones(context)
    assert keys(context) == set()
    with transaction(ledger.engine) as session:
        assert list_due(session, ledger.clock.now() + timedelta(days=1), 10) == []


def test_rows_of_deleted_jobs_go_with_the_sweep(
    ledger: Ledger, context: WorkerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.db.maintenance.erasing.PAGE", 3)
    monkeypatch.setattr("worker.maintenance.retention.ERASE_S", 0.0)  # one page in a sweep
    job_id = ledger.start(items=4, retention_s=0.0)
    ledger.run(job_id, 0)
    delete_expired(context)
    left = []
    for _ in range(4):
        left.append(ledger.rows(job_id))
        erase_deleted(context)
    assert left == [4, 1, 0, 0]
    assert ledger.chunks(job_id) == []


def test_uploads_in_parts_that_are_over_go_with_the_sweep(
    ledger: Ledger, context: WorkerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.maintenance.retention.UPLOADS", 2)
    begun = []
    for _ in range(4):
        with transaction(ledger.engine) as session:
            upload = begin_upload(session, LOCAL_TENANT_ID, 10, "a.zip", ledger.clock.now())
        write(context, f"{upload_prefix(upload.id)}part-0")
        begun.append(upload)
        ledger.clock.advance(60)
    left = [f"{upload_prefix(upload.id)}part-0" for upload in begun]
    ledger.clock.advance(LIFETIME.total_seconds() - 90)  # three are over, the last one is not
    for gone in (2, 3, 3):  # a sweep takes two at most, the oldest first
        end_uploads(context)
        empty_tombstones(context)
        assert keys(context) == set(left[gone:])
    with transaction(ledger.engine) as session:
        assert add_part(session, begun[3], left[3], 10, ledger.clock.now()).received == 10
    with pytest.raises(ConflictError), transaction(ledger.engine) as session:
        add_part(session, begun[0], left[0], 10, ledger.clock.now())


def test_what_a_prepare_writes_after_its_job_was_deleted_goes_too(ledger: Ledger, context: WorkerContext) -> None:
    gone, there = uuid.uuid4(), ledger.start(items=4)
    write(context, f"{job_prefix(gone)}index")
    write(context, f"{job_prefix(there)}index")
    with transaction(ledger.engine) as session:
        bury_if_gone(session, gone, ledger.clock.now())
        bury_if_gone(session, there, ledger.clock.now())
    empty_tombstones(context)
    assert keys(context) == {f"{job_prefix(there)}index"}


def test_a_tombstone_waits_twice_as_long_after_each_failure(ledger: Ledger) -> None:
    now = ledger.clock.now()
    with transaction(ledger.engine) as session:
        bury(session, ["jobs/a/"], now)
        waits = []
        for _ in range(12):
            postpone(session, "jobs/a/", now)
            session.flush()
            due = [s for s in range(0, 4000, 5) if list_due(session, now + timedelta(seconds=s), 1)]
            waits.append(due[0])
        assert waits[:4] == [5, 10, 20, 40]
        assert waits[-1] == 3600
        bury(session, ["jobs/a/"], now)
        assert list_due(session, now, 1) == ["jobs/a/"], "marked again: due at once"
        remove(session, ["jobs/a/"])
        assert list_due(session, now + timedelta(days=1), 1) == []


def test_two_jobs_on_one_upload_that_are_deleted_together_take_it_along(ledger: Ledger) -> None:
    upload = NewUpload(uuid.uuid4(), "", "a.zip", 1, "0" * 64)
    upload = NewUpload(upload.id, upload_key(upload.id), "a.zip", 1, "0" * 64)
    first = ledger.start(items=4, upload=upload)
    second = ledger.start(items=4, upload_id=upload.id)
    for job_id in (first, second):
        ledger.run(job_id, 0)
    meeting, found = threading.Barrier(2), []

    def delete(job_id: uuid.UUID) -> None:
        meeting.wait()
        with transaction(ledger.engine) as session:
            found.extend(delete_job(session, LOCAL_TENANT_ID, job_id, ledger.clock.now()))

    threads = [threading.Thread(target=delete, args=(job_id,)) for job_id in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted([job_prefix(first), job_prefix(second), upload_prefix(upload.id)])
