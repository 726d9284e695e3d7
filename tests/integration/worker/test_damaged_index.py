"""A job's index that is cut off in the storage: the job says so, and nothing is taken for a bug."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import create_autospec

import pytest
from sqlalchemy import Engine

from core.archives.base import Archive
from core.db.chunks import fail_chunk_job
from core.db.engine import transaction
from core.db.models import ChunkState, JobState
from core.errors import JobError, JobErrorCode
from core.storage.layout import index_key
from core.storage.local import LocalStorage
from tests.support.ledger import Ledger
from worker.archivecache import OpenJob
from worker.interruption import Interruption, judge


def test_a_job_whose_index_is_cut_off_fails_and_keeps_its_rows(engine: Engine, tmp_path: Path) -> None:
    ledger, storage = Ledger(engine), LocalStorage(tmp_path)
    job_id = ledger.start(items=12)  # slices of ten bytes, at 0, 40 and 80
    assert ledger.run(job_id, 0)
    with storage.writer(index_key(job_id)) as writer:
        writer.write(b"x" * 45)
        writer.commit()
    claim = ledger.claim(job_id, 1)
    assert claim is not None
    opened = OpenJob(create_autospec(Archive, instance=True), storage.open(index_key(job_id)))
    with pytest.raises(JobError, match="expected 10 bytes from 40 on, got 5") as caught:
        list(opened.members(claim))
    opened.close()
    assert (caught.value.code, judge(caught.value)) == (JobErrorCode.ARCHIVE_GONE, Interruption.JOB_FAULT)
    with transaction(engine) as session:
        fail_chunk_job(session, claim, caught.value.code, str(caught.value), ledger.clock.now())
    job = ledger.job(job_id)
    assert (job.state, job.error_code, job.succeeded, ledger.rows(job_id)) == (JobState.FAILED, "archive_gone", 4, 4)
    assert {chunk.state for chunk in ledger.chunks(job_id)} <= {ChunkState.DONE, ChunkState.CANCELLED, ChunkState.PENDING}
