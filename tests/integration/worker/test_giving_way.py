"""A worker in the midst of a giant's chunk, when a small job comes: real ledger, storage and archives, and a gRPC server."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sqlalchemy import select, update

from core.clock import SystemClock
from core.db.engine import reading, transaction
from core.db.jobs import NewJob, create_job, get_job
from core.db.lifecycle import request_cancel
from core.db.models import LOCAL_TENANT_ID, Chunk, Job, JobState, Result
from core.db.schema.migrate import upgrade
from core.db.turns import Outlook, look_around
from core.messages import CLASSIFY, Message, classify_message
from core.settings import ApiSettings, DatabaseSettings, DataSettings, ServingSettings, Settings, WorkerSettings
from serving.client import Described
from tests.support.failing_serving import FailingServing, failing_serving
from tests.support.stack import png, write_zip
from tests.support.tiny_model import tiny_spec
from worker import classify, prepare, shift
from worker.classify import take_turns
from worker.context import WorkerContext
from worker.prepare import prepare_job

ITEMS = 40
BATCH = 4
AT = 3  # the batch of the giant with which something happens


class Worker:
    """One process, whose third batch of images brings an event."""

    def __init__(self, folder: Path, server: FailingServing) -> None:
        settings = Settings(
            data=DataSettings(data_dir=folder),
            database=DatabaseSettings(url=f"sqlite:///{folder}/ledger.db"),
            serving=ServingSettings(address=server.address, timeout_s=20),
            api=ApiSettings(source_roots=(folder,)),
            worker=WorkerSettings(concurrency=1, batch_items=BATCH),
        )
        self.folder = folder
        self.server = server
        self.sent: list[Message] = []
        self.context = WorkerContext.open(settings, self.sent.extend)
        self.context.clock = SystemClock()
        self.other = WorkerContext.open(settings, self.sent.extend)  # of the process that prepares meanwhile
        self.other.clock = SystemClock()
        upgrade(self.context.engine)

    def submit(self, items: int) -> uuid.UUID:
        archive = write_zip(self.folder / f"{uuid.uuid4()}.zip", [(f"{n:03}.png", png(n)) for n in range(items)])
        source = {"kind": "path", "path": str(archive)}
        with transaction(self.other.engine) as session:
            new = NewJob(tenant_id=LOCAL_TENANT_ID, name="a.zip", source=source, model="tiny", version=1)
            return create_job(session, new, self.other.clock.now()).id

    def start(self, items: int) -> uuid.UUID:
        job_id = self.submit(items)
        prepare_job(self.other, job_id)
        return job_id

    def start_giant(self) -> uuid.UUID:
        """A job that has used its head start up."""
        job_id = self.start(ITEMS)
        with transaction(self.other.engine) as session:
            session.execute(update(Job).where(Job.id == job_id).values(turn=100.0, served_s=100.0))
        return job_id

    def when_at_work(self, event: Callable[[], object]) -> None:
        def look(_: npt.NDArray[np.uint8]) -> None:
            if len(self.server.sizes) == AT:
                event()

        self.server.verdict = look

    def job(self, job_id: uuid.UUID) -> Job:
        with reading(self.context.engine) as session:
            return get_job(session, LOCAL_TENANT_ID, job_id)

    def chunks(self, job_id: uuid.UUID) -> list[Chunk]:
        with reading(self.context.engine) as session:
            return list(session.scalars(select(Chunk).where(Chunk.job_id == job_id).order_by(Chunk.chunk_no)))

    def items(self, job_id: uuid.UUID) -> list[int]:
        with reading(self.context.engine) as session:
            return list(session.scalars(select(Result.item_no).where(Result.job_id == job_id).order_by(Result.item_no)))


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    """It looks around before each batch, and its shift lasts as long as there is work."""
    monkeypatch.setattr(shift, "LOOK_S", 0.0)
    monkeypatch.setattr(shift.Shift, "__init__", _long_shift)
    monkeypatch.setattr(prepare, "describe_wanted", lambda *_: Described(version=1, spec=tiny_spec()))
    with failing_serving(lambda _: None) as server:
        worker = Worker(tmp_path, server)
        yield worker
        worker.context.close()
        worker.other.close()


_shift_init = shift.Shift.__init__


def _long_shift(self: shift.Shift) -> None:
    _shift_init(self, length_s=3600.0)


def test_a_small_job_is_done_before_the_chunk_that_was_in_work(worker: Worker) -> None:
    giant = worker.start_giant()
    small: list[uuid.UUID] = []
    worker.when_at_work(lambda: small.append(worker.start(2)))
    worker.sent.append(classify_message())
    while worker.sent:  # it ends its shift, too, if it looks up while the small job is being prepared
        worker.sent.clear()
        take_turns(worker.context)
    first, second = worker.job(small[0]), worker.job(giant)
    assert (first.state, second.state) == (JobState.SUCCEEDED, JobState.SUCCEEDED)
    assert first.succeeded_at is not None
    assert second.succeeded_at is not None
    assert first.succeeded_at < second.succeeded_at
    [chunk] = worker.chunks(giant)
    assert chunk.attempt >= 2, "it was put back, and claimed again"
    assert (worker.items(giant), worker.items(small[0])) == (list(range(ITEMS)), [0, 1])
    assert (second.succeeded, second.failed, second.remaining) == (ITEMS, 0, 0)
    assert worker.server.sizes.index(2) < ITEMS // BATCH, "the small job's batch was sent before the giant's last ones"


def test_alone_no_chunk_is_cut(worker: Worker) -> None:
    giant = worker.start_giant()
    take_turns(worker.context)
    assert [chunk.attempt for chunk in worker.chunks(giant)] == [1]
    assert worker.server.sizes == [BATCH] * (ITEMS // BATCH)


def test_a_new_job_that_waits_to_be_prepared_ends_the_shift(worker: Worker) -> None:
    giant = worker.start_giant()
    new: list[uuid.UUID] = []
    worker.when_at_work(lambda: new.append(worker.submit(2)))
    worker.sent.clear()
    take_turns(worker.context)
    job = worker.job(giant)
    assert job.state == JobState.RUNNING
    assert BATCH <= job.succeeded < ITEMS
    assert [message.task for message in worker.sent] == [CLASSIFY], "the rest is left to the next wake-up"
    assert worker.items(giant) == list(range(job.succeeded))
    prepare_job(worker.context, new[0])
    take_turns(worker.context)
    small, large = worker.job(new[0]), worker.job(giant)
    assert small.succeeded_at is not None
    assert large.succeeded_at is not None
    assert small.succeeded_at < large.succeeded_at
    assert worker.items(giant) == list(range(ITEMS))


def test_a_job_that_is_cancelled_is_left_between_two_batches(worker: Worker) -> None:
    giant = worker.start_giant()

    def cancel() -> None:
        with transaction(worker.other.engine) as session:
            request_cancel(session, LOCAL_TENANT_ID, giant, worker.other.clock.now())

    worker.when_at_work(cancel)
    take_turns(worker.context)
    job = worker.job(giant)
    assert job.state == JobState.CANCELLED
    assert len(worker.items(giant)) == job.succeeded < ITEMS


def asked(monkeypatch: pytest.MonkeyPatch) -> list[Outlook]:
    """What the ledger answers from now on when a worker asks whose turn it is."""
    answers: list[Outlook] = []

    def ask(*arguments: Any) -> Outlook:
        answers.append(look_around(*arguments))
        return answers[-1]

    monkeypatch.setattr(shift, "look_around", ask)
    return answers


def test_who_is_alone_asks_the_ledger_again_when_somebody_has_written(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shift, "LONGEST_LOOK_S", 3600.0)
    giant = worker.start_giant()
    answers = asked(monkeypatch)

    def write() -> None:
        with transaction(worker.other.engine) as session:
            session.execute(update(Job).where(Job.id == giant).values(priority=2))

    worker.when_at_work(write)
    take_turns(worker.context)
    assert answers == [Outlook(wanted=True, alone=True)] * 2
    assert worker.items(giant) == list(range(ITEMS))


def test_who_is_alone_asks_again_after_a_while_as_a_wait_may_be_over(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shift, "LONGEST_LOOK_S", 0.0)
    worker.start_giant()
    answers = asked(monkeypatch)
    take_turns(worker.context)
    assert answers == [Outlook(wanted=True, alone=True)] * (ITEMS // BATCH)


def test_who_is_not_alone_asks_each_time(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shift, "LONGEST_LOOK_S", 3600.0)
    giant, other = worker.start_giant(), worker.start_giant()
    with transaction(worker.other.engine) as session:
        session.execute(update(Job).where(Job.id == other).values(turn=1e6))
    answers = asked(monkeypatch)
    run = classify._claim_first(worker.context, shift.Shift())
    assert run is not None
    assert run.claim.job_id == giant
    classify.run_chunk(worker.context, run)
    assert answers == [Outlook(wanted=True)] * (ITEMS // BATCH)
