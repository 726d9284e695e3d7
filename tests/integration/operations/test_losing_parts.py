"""What docs/explanation/reliability.md says of lost parts, where no other test shows it: beat, database, broker, Serving."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis
from sqlalchemy import Engine, create_engine, make_url, text

from core.db.models import JobState
from tests.support.servers import running_broker, running_serving, wait_until
from tests.support.stack import WorkerStack, pictures, worker_stack, write_zip

ITEMS = 1800


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return write_zip(tmp_path / "a.zip", pictures(ITEMS))


@pytest.fixture
def stack(postgres_url: str, serving_address: str, tmp_path: Path) -> Iterator[WorkerStack]:
    """PostgreSQL, a broker and Serving; workers and beat are started by the test."""
    (tmp_path / "broker").mkdir()
    with (
        running_broker("valkey", tmp_path / "broker") as broker_url,
        worker_stack(tmp_path, database_url=postgres_url, broker_url=broker_url, serving_address=serving_address) as stack,
    ):
        yield stack


def is_whole(stack: WorkerStack, job_id: object) -> bool:
    """Every item has exactly one row, and none failed."""
    job = stack.wait(job_id)  # type: ignore[arg-type]
    numbers = [row.item_no for row in stack.results(job.id)]
    return (job.state, job.succeeded, job.failed, numbers) == (JobState.SUCCEEDED, ITEMS, 0, list(range(ITEMS)))


def test_without_beat_jobs_run_and_what_is_lost_waits_for_it(stack: WorkerStack, archive: Path) -> None:
    stack.start_worker()
    assert is_whole(stack, stack.submit(archive))
    lost = stack.submit(archive, ring=False)  # its wake-up never came
    heard = stack.submit(archive)
    assert is_whole(stack, heard)
    assert stack.job(lost).state == JobState.QUEUED
    stack.start_beat()
    assert is_whole(stack, lost)


def test_without_the_database_work_waits_and_goes_on_when_it_is_back(stack: WorkerStack, archive: Path) -> None:
    stack.start_worker()
    stack.start_beat()
    job_id = stack.submit(archive)
    stack.wait_for_rows(job_id, 50)
    with away(stack.engine):
        logs = list(stack.folder.glob("worker-*.log"))
        wait_until(
            lambda: any("not currently accepting connections" in log.read_text() for log in logs),
            timeout_s=30,
            what="the worker to miss the database",
        )
    assert stack.job(job_id).state == JobState.RUNNING, "the database went too late to mean anything"
    assert is_whole(stack, job_id)


@contextmanager
def away(engine: Engine) -> Iterator[None]:
    """PostgreSQL ends all sessions of this database, and takes no new one."""
    url = make_url(engine.url)
    admin = create_engine(url.set(database="postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"ALTER DATABASE {url.database} ALLOW_CONNECTIONS false"))
        connection.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :d"), {"d": url.database}
        )
        try:
            yield
        finally:
            connection.execute(text(f"ALTER DATABASE {url.database} ALLOW_CONNECTIONS true"))
    admin.dispose()


def test_serving_moves_to_another_address(stack: WorkerStack, archive: Path, tiny_models: Path, tmp_path: Path) -> None:
    new = stack.env["DERMQ_SERVING_ADDRESS"]
    with running_serving(tiny_models, "tiny", tmp_path / "old-serving.log") as old:
        stack.env |= {"DERMQ_SERVING_ADDRESS": old, "DERMQ_WORKER_BATCH_ITEMS": "1"}  # slow, so that the job meets the move
        leaving = stack.start_worker()
        stack.start_beat()
        job_id = stack.submit(archive)
        stack.wait_for_rows(job_id, 50)
        stack.env["DERMQ_SERVING_ADDRESS"] = new
        stack.start_worker()
        os.kill(leaving.pid, signal.SIGTERM)
        assert leaving.wait(30) == 0
        assert stack.job(job_id).state == JobState.RUNNING, "the move came too late to mean anything"
    assert is_whole(stack, job_id)


def test_a_full_broker_refuses_wake_ups_and_jobs_go_on(stack: WorkerStack, archive: Path) -> None:
    with Redis.from_url(stack.env["DERMQ_BROKER_URL"]) as redis:
        redis.config_set("maxmemory-policy", "noeviction")
        redis.config_set("maxmemory", 1)
        stack.start_worker()
        stack.start_beat()
        job_id = stack.submit(archive)  # its wake-up is refused
        assert stack.job(job_id).state == JobState.QUEUED
        redis.config_set("maxmemory", 0)
        assert is_whole(stack, job_id)
