"""Jobs through real workers whose parts are killed, stopped, emptied or away; each test has a stack of its own."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from core.db.models import JobState
from tests.support.faulty_worker import DAWDLE, HANG, SEGFAULT
from tests.support.servers import broker_binary, free_port, running_broker, running_serving, wait_until
from tests.support.stack import WorkerStack, all_up, jpeg, kill_group, pictures, worker_stack, write_zip

BOTH = pytest.mark.parametrize("backends", [("sqlite", "valkey"), ("postgresql", "redis")], ids="-".join, indirect=True)


@pytest.fixture
def backends(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """Database URL and kind of broker."""
    database, broker = getattr(request, "param", ("sqlite", "valkey"))
    if broker_binary(broker) is None:
        pytest.skip("Redis is not installed (Debian: apt-get install redis-server)")
    url = f"sqlite:///{tmp_path / 'ledger.db'}" if database == "sqlite" else request.getfixturevalue("postgres_url")
    return url, broker


@pytest.fixture
def stack(backends: tuple[str, str], tmp_path: Path, serving_address: str) -> Iterator[WorkerStack]:
    """Two workers and a beat, everything up."""
    database_url, kind = backends
    with all_up(tmp_path, database_url, kind, serving_address) as stack:
        yield stack


@BOTH
def test_kill_minus_nine_in_mid_job_loses_and_doubles_nothing(stack: WorkerStack, tmp_path: Path) -> None:
    doomed = stack.start_worker()
    archive = write_zip(tmp_path / "a.zip", pictures(2500))
    job_id = stack.submit(archive)
    stack.wait_for_rows(job_id, 100)
    kill_group(doomed)
    assert stack.job(job_id).state == JobState.RUNNING, "the kill came too late to mean anything"
    job = stack.wait(job_id)
    assert (job.state, job.succeeded, job.failed) == (JobState.SUCCEEDED, 2500, 0)
    assert [row.item_no for row in stack.results(job_id)] == list(range(2500))


@BOTH
def test_flushing_the_broker_in_mid_job_loses_nothing(stack: WorkerStack, tmp_path: Path) -> None:
    job_id = stack.submit(write_zip(tmp_path / "a.zip", pictures(2000)))
    stack.wait_for_rows(job_id, 50)
    with Redis.from_url(stack.env["DERMQ_BROKER_URL"]) as redis:
        redis.flushall()
    assert stack.job(job_id).state == JobState.RUNNING
    job = stack.wait(job_id)
    assert (job.state, job.succeeded) == (JobState.SUCCEEDED, 2000)


def test_images_that_crash_or_hang_the_decoder_fail_alone(
    backends: tuple[str, str], tmp_path: Path, serving_address: str
) -> None:
    members = [*pictures(20), ("bang.jpg", jpeg(5) + SEGFAULT), *((f"b{name}", data) for name, data in pictures(20))]
    (tmp_path / "broker").mkdir()
    with (
        running_broker("valkey", tmp_path / "broker") as broker_url,
        worker_stack(tmp_path, database_url=backends[0], broker_url=broker_url, serving_address=serving_address) as stack,
    ):
        stack.start_worker(module="tests.support.faulty_worker")
        stack.start_worker(module="tests.support.faulty_worker")
        stack.start_beat()
        job = stack.wait(job_id := stack.submit(write_zip(tmp_path / "a.zip", members)), timeout_s=120)
        assert (job.state, job.succeeded, job.failed) == (JobState.SUCCEEDED, 40, 1)
        assert [(r.name, r.error_code) for r in stack.results(job_id) if r.error_code] == [(b"bang.jpg", "decoder_crash")]
        stuck = [("slow.jpg", jpeg(5) + DAWDLE), ("fine.jpg", jpeg(6)), *pictures(15), ("stuck.jpg", jpeg(5) + HANG)]
        job = stack.wait(job_id := stack.submit(write_zip(tmp_path / "h.zip", stuck)), timeout_s=120)
        assert (job.state, job.succeeded, job.failed) == (JobState.SUCCEEDED, 16, 2)
        failed = [(r.name, r.error_code) for r in stack.results(job_id) if r.error_code]
        assert failed == [(b"slow.jpg", "decode_timeout"), (b"stuck.jpg", "decoder_crash")]


def test_broker_away_at_submission(backends: tuple[str, str], tmp_path: Path, serving_address: str) -> None:
    port = free_port()
    (tmp_path / "broker").mkdir()
    broker_url = f"redis://127.0.0.1:{port}/0"
    with worker_stack(tmp_path, database_url=backends[0], broker_url=broker_url, serving_address=serving_address) as stack:
        stack.start_worker()
        stack.start_beat()
        job_id = stack.submit(write_zip(tmp_path / "a.zip", pictures(40)))
        assert stack.job(job_id).state == JobState.QUEUED
        with running_broker("valkey", tmp_path / "broker", port=port):
            assert stack.wait(job_id).succeeded == 40


def test_serving_away_the_job_waits_says_for_what_and_completes(
    backends: tuple[str, str], tmp_path: Path, tiny_models: Path
) -> None:
    port = free_port()
    (tmp_path / "broker").mkdir()
    with (
        running_broker("valkey", tmp_path / "broker") as broker_url,
        worker_stack(tmp_path, database_url=backends[0], broker_url=broker_url, serving_address=f"127.0.0.1:{port}") as stack,
    ):
        stack.start_worker(ready=True)
        stack.start_beat()
        job_id = stack.submit(write_zip(tmp_path / "a.zip", pictures(1500)))
        wait_until(lambda: bool(stack.job(job_id).waiting_for), timeout_s=20, what="the job to say what it waits for")
        assert "serving" in (stack.job(job_id).waiting_for or "")
        with running_serving(tiny_models, "tiny", tmp_path / "serving-1.log", port=port):
            stack.wait_for_rows(job_id, 50)
        assert stack.job(job_id).state == JobState.RUNNING, "serving went too late to mean anything"
        wait_until(lambda: bool(stack.job(job_id).waiting_for), timeout_s=30, what="the job to wait again")
        with running_serving(tiny_models, "tiny", tmp_path / "serving-2.log", port=port):
            job = stack.wait(job_id)
        assert (job.state, job.succeeded, job.failed, job.waiting_for) == (JobState.SUCCEEDED, 1500, 0, None)


def test_sigterm_gives_back_what_is_not_finished(stack: WorkerStack, tmp_path: Path) -> None:
    leaving = stack.start_worker(ready=True)  # before, SIGTERM ends it as any process
    job_id = stack.submit(write_zip(tmp_path / "a.zip", pictures(2000)))
    stack.wait_for_rows(job_id, 50)
    os.kill(leaving.pid, signal.SIGTERM)
    assert leaving.wait(15) == 0
    assert stack.wait(job_id).succeeded == 2000


@pytest.mark.timeout(420)  # how long it waits at most; a busy machine takes minutes for pictures one by one
@BOTH
def test_a_broker_that_is_restarted_again_and_again(backends: tuple[str, str], tmp_path: Path, serving_address: str) -> None:
    """Each time it comes back empty, and each time workers take up work: more rows are there before it goes again."""
    port, kind = free_port(), backends[1]
    broker_url = f"redis://127.0.0.1:{port}/0"
    with worker_stack(tmp_path, database_url=backends[0], broker_url=broker_url, serving_address=serving_address) as stack:
        stack.env["DERMQ_WORKER_BATCH_ITEMS"] = "1"  # slow, so that the job meets all restarts
        stack.start_worker()
        stack.start_beat()
        job_id = stack.submit(write_zip(tmp_path / "a.zip", pictures(1500)), ring=False)
        for number in range(3):
            (folder := tmp_path / f"broker-{number}").mkdir()
            with running_broker(kind, folder, port=port):
                rows = stack.job(job_id).succeeded
                stack.wait_for_rows(job_id, rows + 32)
            assert stack.job(job_id).state == JobState.RUNNING, "the broker went too late to mean anything"
        (folder := tmp_path / "broker-last").mkdir()
        with running_broker(kind, folder, port=port):
            job = stack.wait(job_id, timeout_s=300)
        assert (job.state, job.succeeded, job.failed) == (JobState.SUCCEEDED, 1500, 0)
        assert [row.item_no for row in stack.results(job_id)] == list(range(1500))
