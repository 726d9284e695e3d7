"""Large archives that are being listed leave one process to small jobs, on both databases."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
from sqlalchemy import Engine

from core.clock import ManualClock
from core.db.engine import reading, transaction
from core.db.jobs import get_job
from core.db.models import LOCAL_TENANT_ID, Job, JobState
from core.db.preparing import PrepareClaim, claim_prepare
from core.db.processes import note_alive
from core.settings import DataSettings, Settings
from core.storage.factory import open_storage
from serving.client import PredictClient
from tests.support.ledger import Ledger
from worker import listing
from worker.context import WorkerContext
from worker.listing import ProcessesBusyError, is_large, leave_one_free
from worker.prepare import prepare_job

LARGE, SMALL = 101, 100


@pytest.fixture
def context(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WorkerContext:
    """A process of two, for which more than 100 bytes are much."""
    monkeypatch.setattr(listing, "LARGE_BYTES", SMALL)
    settings = Settings(data=DataSettings(data_dir=tmp_path))
    storage = open_storage((tmp_path / "objects").as_uri(), settings.storage)
    context = WorkerContext(settings, engine, storage, PredictClient("127.0.0.1:1", 1.0), lambda _: None, clock=ManualClock())
    for owner in ("host/1/1/1", "host/2/2/2"):
        sign_of_life(context, owner)
    return context


def sign_of_life(context: WorkerContext, owner: str) -> None:
    with transaction(context.engine) as session:
        note_alive(session, owner, context.clock.now())


def submit(context: WorkerContext, folder: Path, size: int) -> uuid.UUID:
    archive = folder / f"{uuid.uuid4()}.zip"
    archive.write_bytes(bytes(size))
    job_id: uuid.UUID = Ledger(context.engine).submit(source={"kind": "path", "path": str(archive)})
    return job_id


def claim(context: WorkerContext, job_id: uuid.UUID) -> PrepareClaim:
    with transaction(context.engine) as session:
        claimed = claim_prepare(session, job_id, owner="host/1/1/1", now=context.clock.now(), lease_s=15)
    assert claimed is not None
    return claimed


def job(context: WorkerContext, job_id: uuid.UUID) -> Job:
    with reading(context.engine) as session:
        return get_job(session, LOCAL_TENANT_ID, job_id)


def test_the_last_process_takes_small_archives_alone(context: WorkerContext, tmp_path: Path) -> None:
    claims = sorted((claim(context, submit(context, tmp_path, LARGE)) for _ in range(2)), key=lambda each: each.job_id)
    small = claim(context, submit(context, tmp_path, SMALL))
    leave_one_free(context, claims[0])
    leave_one_free(context, small)
    with pytest.raises(ProcessesBusyError, match="1 of 2 processes list other archives"):
        leave_one_free(context, claims[1])
    sign_of_life(context, "host/3/3/3")
    leave_one_free(context, claims[1])


def test_a_process_alone_lists_whatever_comes(context: WorkerContext, tmp_path: Path) -> None:
    assert isinstance(context.clock, ManualClock)
    context.clock.advance(60)  # the other one is gone
    sign_of_life(context, "host/1/1/1")
    for _ in range(2):
        leave_one_free(context, claim(context, submit(context, tmp_path, LARGE)))


def test_a_large_archive_that_waits_says_so_and_counts_nothing(context: WorkerContext, tmp_path: Path) -> None:
    claim(context, submit(context, tmp_path, LARGE))
    waiting = submit(context, tmp_path, LARGE)
    assert prepare_job(context, waiting) == []
    found = job(context, waiting)
    assert (found.state, found.crashes, found.bugs or 0, found.opened_attempt) == (JobState.QUEUED, 0, 0, None)
    assert found.waiting_for == "worker: 1 of 2 processes list other archives, and one is left to small jobs"
    assert found.due_at is not None
    assert found.due_at > context.clock.now()


def test_what_is_large(context: WorkerContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "LARGE_ENTRIES", 3)
    for key, size in (("large", LARGE), ("small", SMALL)):
        with context.storage.writer(key) as writer:
            writer.write(bytes(size))
            writer.commit()
    for folder, files in (("many", 4), ("few", 3)):
        (tmp_path / folder / "below").mkdir(parents=True)
        for number in range(files):
            (tmp_path / folder / "below" / str(number)).touch()
    sources = {
        "large": {"kind": "upload", "key": "large"},
        "small": {"kind": "upload", "key": "small"},
        "gone": {"kind": "upload", "key": "gone"},
        "many": {"kind": "path", "path": str(tmp_path / "many")},
        "few": {"kind": "path", "path": str(tmp_path / "few")},
        "no file": {"kind": "path", "path": str(tmp_path / "none")},
        "elsewhere": {"kind": "s3", "uri": "s3://bucket/a.zip"},
    }
    assert {name for name, source in sources.items() if is_large(source, context.storage)} == {"large", "many"}
