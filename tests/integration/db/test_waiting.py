"""What a job says it waits for: for what, since when, until when, on SQLite and on PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Engine

from core.db.chunks import finish_chunk, put_back_chunk
from core.db.engine import transaction
from core.db.maintenance import republish
from core.db.models import Job
from core.db.preparing import claim_prepare, put_back_prepare
from core.db.waiting import SILENT, end_all_waiting, note_all_waiting, note_waiting
from core.errors import JobError, JobErrorCode, StorageUnavailableError
from core.storage.denied import SourceDeniedError, StorageDeniedError, as_source
from tests.support.ledger import LEASE_S, Ledger, outcomes_of
from worker.interruption import DENIED_PATIENCE_S, give_up


@pytest.fixture
def ledger(engine: Engine) -> Ledger:
    return Ledger(engine)


def said(job: Job) -> tuple[object, ...]:
    return job.waiting_for, job.waiting_since, job.waiting_until


def put_back(ledger: Ledger, job_id: object, text: str, wait_s: float) -> None:
    claim = ledger.claim(job_id, 0)  # type: ignore[arg-type]
    assert claim is not None
    now = ledger.clock.now()
    with transaction(ledger.engine) as session:
        assert put_back_chunk(session, claim, text, now + timedelta(seconds=wait_s), now)
    ledger.clock.advance(wait_s)


def test_since_is_kept_while_the_same_part_is_away(ledger: Ledger) -> None:
    job_id = ledger.start(items=4)
    began = ledger.clock.now()
    put_back(ledger, job_id, "serving: no answer", 1)
    assert said(ledger.job(job_id)) == ("serving: no answer", began, began + timedelta(seconds=1))
    put_back(ledger, job_id, "serving: deadline exceeded", 2)
    assert said(ledger.job(job_id)) == ("serving: deadline exceeded", began, began + timedelta(seconds=3))
    put_back(ledger, job_id, "storage: no answer", 4)
    assert said(ledger.job(job_id)) == ("storage: no answer", began + timedelta(seconds=3), began + timedelta(seconds=7))
    ledger.run(job_id, 0)
    assert said(ledger.job(job_id)) == (None, None, None)


def test_prepare_says_it_too_and_its_start_clears_it(ledger: Ledger) -> None:
    job_id = ledger.submit()
    now = ledger.clock.now()
    with transaction(ledger.engine) as session:
        claim = claim_prepare(session, job_id, owner="w/1/1/1", now=now, lease_s=LEASE_S)
        assert claim is not None
        put_back_prepare(session, claim, "serving: no answer", now + timedelta(seconds=1), now)
    assert said(ledger.job(job_id)) == ("serving: no answer", now, now + timedelta(seconds=1))
    ledger.prepare(job_id, items=4)
    assert said(ledger.job(job_id)) == (None, None, None)


def test_what_an_outage_left_of_a_chunk_does_not_end_the_wait(ledger: Ledger) -> None:
    job_id = ledger.start(items=4)
    claim = ledger.claim(job_id, 0)
    assert claim is not None
    now = ledger.clock.now()
    with transaction(ledger.engine) as session:
        finish_chunk(session, claim, outcomes_of(claim)[:2], now, waiting_for="serving: no answer")
    assert said(ledger.job(job_id)) == ("serving: no answer", now, None)
    assert ledger.job(job_id).succeeded == 2
    ledger.run(job_id, 0)
    assert said(ledger.job(job_id)) == (None, None, None)


def test_a_note_for_all_leaves_what_is_known_better_and_goes_alone(ledger: Ledger) -> None:
    silent, knowing, ended = ledger.start(items=4), ledger.start(items=4), ledger.start(items=4)
    ledger.run(ended, 0)
    now = ledger.clock.now()
    text = SILENT.format("broker")
    with transaction(ledger.engine) as session:
        note_waiting(session, knowing, "serving: no answer", now)
        note_all_waiting(session, text, now)
    revision = ledger.job(silent).revision
    assert [said(ledger.job(job))[0] for job in (silent, knowing, ended)] == [text, "serving: no answer", None]
    with transaction(ledger.engine) as session:
        note_all_waiting(session, text, now)
    assert ledger.job(silent).revision == revision, "nothing new was said"
    with transaction(ledger.engine) as session:
        end_all_waiting(session, text)
    assert [said(ledger.job(job))[0] for job in (silent, knowing, ended)] == [None, "serving: no answer", None]


def test_messages_that_nobody_takes_up_are_no_lost_messages_any_more(ledger: Ledger) -> None:
    """Somebody sweeps, so a worker runs; yet none takes what the broker has. As workers that stopped to consume do."""
    job_id, began = ledger.start(items=4), ledger.clock.now()
    heard = []
    for _ in range(3):
        ledger.clock.advance(ledger.window.republish_s + 1)
        with transaction(ledger.engine) as session:
            assert republish.wake_idle(session, ledger.window, ledger.clock.now(), queued=0, observed_since=began)
        heard.append(ledger.job(job_id).waiting_for)
    assert heard == [None, None, republish.NOT_TAKEN]
    ledger.run(job_id, 0)
    assert said(ledger.job(job_id)) == (None, None, None)


def test_a_source_that_refuses_access_for_some_time_ends_the_job(ledger: Ledger) -> None:
    job_id = ledger.start(items=4)
    refused = SourceDeniedError("s3://clinic/2026/1.jpg: access denied")
    waited = 0.0
    for wait_s in (1.0, 2.0, 4.0, 8.0, 16.0):
        claim = ledger.claim(job_id, 0)
        assert claim is not None
        assert give_up(refused, claim, ledger.clock.now()) is refused, waited
        now = ledger.clock.now()
        with transaction(ledger.engine) as session:
            put_back_chunk(session, claim, f"source: {refused}", now + timedelta(seconds=wait_s), now)
        ledger.clock.advance(wait_s)
        waited += wait_s
    claim = ledger.claim(job_id, 0)
    assert claim is not None
    assert DENIED_PATIENCE_S < waited < 60
    verdict = give_up(refused, claim, ledger.clock.now())
    assert isinstance(verdict, JobError)
    assert verdict.code == JobErrorCode.SOURCE_DENIED
    assert "s3://clinic/2026/1.jpg: access denied" in str(verdict)
    for other in (StorageUnavailableError("no answer"), StorageDeniedError("its own bucket")):
        assert give_up(other, claim, ledger.clock.now()) is other, "that is no fault of the job's source"
    elsewhere = replace(claim, waiting_for="serving: no answer")
    assert give_up(refused, elsewhere, ledger.clock.now()) is refused, "it has waited for something else until now"


def test_only_a_refusal_is_one_of_the_source() -> None:
    with pytest.raises(SourceDeniedError, match="no access"), as_source():
        raise StorageDeniedError("no access")
    with pytest.raises(StorageUnavailableError) as caught, as_source():
        raise StorageUnavailableError("no answer")
    assert not isinstance(caught.value, StorageDeniedError)
