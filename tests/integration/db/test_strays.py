"""Objects that no row knows of are found, kept for a while, and deleted: on SQLite and on PostgreSQL, over a real folder."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
from sqlalchemy import Engine

from core.clock import ManualClock
from core.db.engine import reading, transaction
from core.db.jobs import NewUpload
from core.db.lifecycle import delete_job, request_cancel
from core.db.models import LOCAL_TENANT_ID
from core.db.strays import begin_scan, check_prefixes, count_strays, end_scan
from core.ids import new_id
from core.settings import DataSettings, Settings, StorageSettings
from core.storage.base import ObjectStorage
from core.storage.layout import id_of_key, index_key, job_prefix, upload_key, upload_prefix
from core.storage.local import LocalStorage
from tests.support.ledger import Ledger
from worker.context import WorkerContext
from worker.maintenance import scan
from worker.maintenance.retention import empty_tombstones
from worker.maintenance.scan import scan_storage

HOUR_S, DAY_S = 3600.0, 86_400.0


@pytest.fixture
def ledger(engine: Engine) -> Ledger:
    return Ledger(engine)


@pytest.fixture
def storage(tmp_path: Path) -> ObjectStorage:
    return LocalStorage(tmp_path / "objects")


@pytest.fixture
def context(ledger: Ledger, storage: ObjectStorage, tmp_path: Path) -> WorkerContext:
    settings = Settings(
        data=DataSettings(data_dir=tmp_path), storage=StorageSettings(scan_interval_s=HOUR_S, stray_age_s=DAY_S)
    )
    return WorkerContext(settings, ledger.engine, storage, client=None, publish=list, clock=ledger.clock)  # type: ignore[arg-type]


def put(storage: ObjectStorage, key: str) -> str:
    with storage.writer(key) as writer:
        writer.write(b"x")
        writer.commit()
    return key


def keys(storage: ObjectStorage) -> set[str]:
    return {info.key for info in storage.list("")}


def strays(ledger: Ledger) -> tuple[int, int]:
    with reading(ledger.engine) as session:
        return count_strays(session)


def advance(ledger: Ledger, seconds: float) -> None:
    assert isinstance(ledger.clock, ManualClock)
    ledger.clock.advance(seconds)


def test_an_object_without_a_row_goes_after_a_day_and_others_stay(
    ledger: Ledger, storage: ObjectStorage, context: WorkerContext
) -> None:
    upload = NewUpload(new_id(), "", "a.zip", 1, "0")
    job_id = ledger.submit(upload=upload)
    kept = {
        put(storage, upload_key(upload.id)),
        put(storage, index_key(job_id)),
        put(storage, "somebody/else's"),
        put(storage, "jobs/x/y"),
    }
    lost = {put(storage, upload_key(new_id())), put(storage, index_key(new_id()))}
    scan_storage(context)
    assert strays(ledger) == (2, 0)
    for _ in range(23):
        advance(ledger, HOUR_S)
        scan_storage(context)
        empty_tombstones(context)
    assert keys(storage) == kept | lost
    advance(ledger, HOUR_S)
    scan_storage(context)
    assert strays(ledger) == (0, 2)
    empty_tombstones(context)
    assert keys(storage) == kept
    assert strays(ledger) == (0, 0)


def test_a_row_that_comes_later_saves_its_object(ledger: Ledger, storage: ObjectStorage, context: WorkerContext) -> None:
    """As an upload whose object is there, while its transaction is not."""
    upload = NewUpload(new_id(), "", "a.zip", 1, "0")
    put(storage, upload_key(upload.id))
    scan_storage(context)
    assert strays(ledger) == (1, 0)
    ledger.submit(upload=upload)
    advance(ledger, 2 * DAY_S)
    scan_storage(context)
    assert strays(ledger) == (0, 0)
    assert keys(storage) == {upload_key(upload.id)}


def test_what_is_gone_is_forgotten(ledger: Ledger, storage: ObjectStorage, context: WorkerContext) -> None:
    key = put(storage, upload_key(new_id()))
    scan_storage(context)
    storage.delete(key)
    advance(ledger, HOUR_S)
    scan_storage(context)
    assert strays(ledger) == (0, 0)


def test_a_large_storage_is_scanned_in_slices(
    ledger: Ledger, storage: ObjectStorage, context: WorkerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "KEYS", 3)
    for _ in range(7):
        put(storage, upload_key(new_id()))
    seen = []
    for _ in range(3):
        scan_storage(context)
        seen.append(strays(ledger)[0])
    assert seen == [3, 6, 7]
    scan_storage(context)
    assert context.scan is None, "the next one is not due yet"


def test_one_scan_at_a_time(ledger: Ledger) -> None:
    def begin() -> bool:
        with transaction(ledger.engine) as session:
            return begin_scan(session, ledger.clock.now(), HOUR_S)

    assert [begin(), begin()] == [True, False]
    advance(ledger, HOUR_S)
    assert [begin(), begin()] == [True, False]


def test_what_is_marked_already_is_no_stray(ledger: Ledger) -> None:
    job_id = ledger.submit()
    now = ledger.clock.now()
    with transaction(ledger.engine) as session:
        request_cancel(session, LOCAL_TENANT_ID, job_id, now)
        delete_job(session, LOCAL_TENANT_ID, job_id, now)
        assert check_prefixes(session, [], [job_id], now, DAY_S) == []
        end_scan(session, now)
    assert strays(ledger) == (0, 1)


@pytest.mark.parametrize(
    ("key", "found"),
    [
        (upload_prefix(uuid.UUID(int=1)) + "archive", uuid.UUID(int=1)),
        (job_prefix(uuid.UUID(int=2)) + "index", uuid.UUID(int=2)),
        (job_prefix(uuid.UUID(int=2)), None),
        ("jobs/x/index", None),
        (f"other/{uuid.UUID(int=2)}/index", None),
        (f"jobs/{uuid.UUID(int=2).hex}/index", None),
    ],
    ids=["upload", "job", "folder", "no_id", "elsewhere", "another_spelling"],
)
def test_the_id_of_a_key(key: str, found: uuid.UUID | None) -> None:
    assert id_of_key(key) == found
