"""A worker's batches against a real gRPC server that has not enough memory, or that fails: nothing is blamed on an image."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import numpy as np
import numpy.typing as npt
import pytest

from core.clock import ManualClock, SystemClock
from core.db.engine import reading, transaction
from core.db.jobs import NewJob, create_job, get_job
from core.db.models import LOCAL_TENANT_ID, Job, JobState
from core.db.outcomes import ItemOutcome
from core.db.schema.migrate import upgrade
from core.errors import ItemErrorCode, ServingFaultError, ServingOverloadedError
from core.settings import ApiSettings, DatabaseSettings, DataSettings, ServingSettings, Settings, WorkerSettings
from serving.client import PredictClient
from serving.outcomes import DecodedItem
from serving.retrying import Retry
from tests.support.failing_serving import FailingServing, Verdict, failing_serving
from tests.support.stack import png, write_zip
from tests.support.tiny_model import tiny_probabilities, tiny_spec
from worker.batches import Batch
from worker.batchlimits import FIRST_PATIENCE, BatchLimits
from worker.classify import classify_chunk
from worker.context import WorkerContext
from worker.interruption import Interruption, judge
from worker.prediction import Predictor
from worker.prepare import prepare_job

OUT_OF_MEMORY = (grpc.StatusCode.RESOURCE_EXHAUSTED, "OOM when allocating tensor with shape[32,96,96,64]")
POISON = 77


def over(most: int) -> Callable[[npt.NDArray[np.uint8]], Verdict]:
    return lambda images: OUT_OF_MEMORY if len(images) > most else None


def images_of(shades: list[int]) -> npt.NDArray[np.uint8]:
    return np.stack([np.full((28, 28, 3), shade, np.uint8) for shade in shades])


def batch_of(shades: list[int]) -> Batch:
    return Batch(images_of(shades), [DecodedItem(n, f"{n}.png", 28, 28) for n in range(len(shades))])


@contextmanager
def client_of(server: FailingServing) -> Iterator[PredictClient]:
    with PredictClient(server.address, timeout_s=20, retry=Retry(attempts=3, base_s=0.001)) as client:
        yield client


def run(client: PredictClient, shades: list[int], limits: BatchLimits | None = None) -> list[ItemOutcome]:
    predictor = Predictor(client, "tiny", 1, tiny_spec(), limits=limits)
    return [*predictor.submit(batch_of(shades)), *predictor.drain()]


def assert_right(outcomes: list[ItemOutcome], shades: list[int]) -> None:
    assert [outcome.item_no for outcome in outcomes] == list(range(len(shades)))
    found = np.stack([np.frombuffer(outcome.probabilities or b"", "<f4") for outcome in outcomes])
    np.testing.assert_allclose(found, tiny_probabilities(images_of(shades)), atol=1e-6)


def test_a_server_without_memory_gets_smaller_batches_and_the_size_is_remembered() -> None:
    shades = list(range(32))
    with failing_serving(over(10)) as server, client_of(server) as client:
        limits = BatchLimits()
        assert_right(run(client, shades, limits), shades)
        assert server.sizes == [32, 16, 8, 8, 8, 8], "each size is refused once, and not tried again"
        server.sizes.clear()
        assert_right(run(client, shades, limits), shades)
        assert server.sizes == [8, 8, 8, 8], "the next chunk begins with what passed"


def test_a_batch_grows_again_once_there_is_memory() -> None:
    shades = list(range(8))
    with failing_serving(over(4)) as server, client_of(server) as client:
        limits = BatchLimits()
        run(client, shades, limits)
        server.verdict = over(99)
        for _ in range(FIRST_PATIENCE):
            run(client, shades, limits)
        assert server.sizes[:3] == [8, 4, 4]
        assert server.sizes[-1] == 8
        assert limits.images("tiny", 1, 8) == 8


def test_not_enough_memory_for_one_image_is_an_outage() -> None:
    with failing_serving(over(0)) as server, client_of(server) as client:
        with pytest.raises(ServingOverloadedError, match="OOM when allocating") as caught:
            run(client, [1, 2, 3, 4])
        assert server.sizes == [4, 2, 1]
        assert judge(caught.value) is Interruption.OUTAGE


def poisoned(images: npt.NDArray[np.uint8]) -> Verdict:
    has_it = (images.reshape(len(images), -1).mean(axis=1) == POISON).any()
    return (grpc.StatusCode.INTERNAL, "CUDNN_STATUS_EXECUTION_FAILED") if has_it else None


def test_an_image_that_makes_the_server_fail_is_found_and_fails_alone() -> None:
    shades = [10, 11, POISON, 13, 14]
    with failing_serving(poisoned) as server, client_of(server) as client:
        outcomes = run(client, shades)
    assert [outcome.error_code for outcome in outcomes] == [None, None, ItemErrorCode.REJECTED_BY_MODEL, None, None]
    assert "tiny version 1 fails on this image" in (outcomes[2].error or "")


@pytest.mark.parametrize(
    ("code", "details"),
    [
        (grpc.StatusCode.INTERNAL, "failed to query device memory info"),
        (grpc.StatusCode.UNKNOWN, "Stream removed"),
        (grpc.StatusCode.DATA_LOSS, "a checksum"),
        (grpc.StatusCode.UNIMPLEMENTED, "Received http2 header with status: 404"),
        (grpc.StatusCode.UNAUTHENTICATED, "Received http2 header with status: 401"),
        (grpc.StatusCode.PERMISSION_DENIED, "Received http2 header with status: 403"),
    ],
    ids=lambda value: value.name.lower() if isinstance(value, grpc.StatusCode) else "",
)
def test_a_server_that_fails_on_every_image_is_an_outage(code: grpc.StatusCode, details: str) -> None:
    with failing_serving(lambda _: (code, details)) as server, client_of(server) as client:
        with pytest.raises(ServingFaultError, match=f"{code.name}: {details}") as caught:
            run(client, [1, 2, 3, 4])
        assert server.sizes == [4, 4, 4, 1, 1, 1], "the batch, then a neutral picture, each with its short retries"
        assert judge(caught.value) is Interruption.OUTAGE


def test_a_stream_that_is_removed_once_costs_one_more_call() -> None:
    answers = iter([(grpc.StatusCode.UNKNOWN, "Stream removed")])
    with failing_serving(lambda _: next(answers, None)) as server, client_of(server) as client:
        assert_right(run(client, [1, 2, 3]), [1, 2, 3])
        assert server.sizes == [3, 3]


@pytest.fixture
def context(tmp_path: Path, serving_address: str) -> Iterator[WorkerContext]:
    """A worker in this process on a ledger of its own; its messages are delivered by hand."""
    settings = Settings(
        data=DataSettings(data_dir=tmp_path),
        database=DatabaseSettings(),
        serving=ServingSettings(address=serving_address, default_model="tiny"),
        api=ApiSettings(source_roots=[tmp_path]),
        worker=WorkerSettings(concurrency=1, batch_items=32),
    )
    context = WorkerContext.open(settings, lambda _: None)
    context.clock = ManualClock(SystemClock().now())
    upgrade(context.engine)
    yield context
    context.close()


def started_job(context: WorkerContext, archive: Path) -> uuid.UUID:
    source = {"kind": "path", "path": str(archive)}
    with transaction(context.engine) as session:
        new = NewJob(tenant_id=LOCAL_TENANT_ID, name="a.zip", source=source, model="tiny")
        job_id = create_job(session, new, context.clock.now()).id
    assert len(prepare_job(context, job_id)) == 1
    return job_id


def job_of(context: WorkerContext, job_id: uuid.UUID) -> Job:
    with reading(context.engine) as session:
        return get_job(session, LOCAL_TENANT_ID, job_id)


GONE = (grpc.StatusCode.NOT_FOUND, "Servable not found for request: Specific(tiny, 2)")


@pytest.mark.parametrize("comes_back", [True, False], ids=["a moment", "for good"])
def test_a_version_that_is_not_served_fails_the_job_only_when_asked_again(
    context: WorkerContext, tmp_path: Path, comes_back: bool
) -> None:
    job_id = started_job(context, write_zip(tmp_path / "a.zip", [(f"{n}.png", png(n)) for n in range(5)]))
    assert isinstance(context.clock, ManualClock)
    with failing_serving(lambda _: GONE) as server:
        context.client.close()
        context.client = PredictClient(server.address)
        classify_chunk(context, job_id, 0)
        assert (job_of(context, job_id).state, server.sizes) == (JobState.RUNNING, [5])
        context.clock.advance(60)
        server.verdict = (lambda _: None) if comes_back else (lambda _: GONE)
        classify_chunk(context, job_id, 0)
    job = job_of(context, job_id)
    if comes_back:
        assert (job.state, job.succeeded) == (JobState.SUCCEEDED, 5)
    else:
        assert (job.state, job.error_code) == (JobState.FAILED, "unknown_model")


def test_a_job_on_a_server_without_memory_succeeds(context: WorkerContext, tmp_path: Path) -> None:
    job_id = started_job(context, write_zip(tmp_path / "a.zip", [(f"{n:02}.png", png(n)) for n in range(40)]))
    with failing_serving(over(4)) as server:
        context.client.close()
        context.client = PredictClient(server.address)
        classify_chunk(context, job_id, 0)
    assert Counter(server.sizes) == {32: 1, 16: 1, 8: 2, 4: 10}, (
        "the second batch of 8 was under way when the first was refused"
    )
    job = job_of(context, job_id)
    assert (job.state, job.succeeded, job.failed) == (JobState.SUCCEEDED, 40, 0)
