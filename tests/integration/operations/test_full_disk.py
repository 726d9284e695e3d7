"""A disk without room under the storage, the ledger or the broker's append-only file, in the middle of work.

Nothing is marked as failed that is not, nothing is lost, no crash is counted; with room again it goes on by itself.
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from redis import Redis
from redis.exceptions import ResponseError
from sqlalchemy import func, select

from core.db.engine import reading
from core.db.models import Chunk, JobState
from core.db.waiting import dependency_of
from tests.support.preloaded import FullDisk
from tests.support.servers import accepts, broker_binary, free_port, running, running_broker, wait_until
from tests.support.stack import WorkerStack, pictures, worker_stack, write_zip

ITEMS = 480


@pytest.fixture
def disk(tmp_path: Path) -> FullDisk:
    return FullDisk(tmp_path)


@contextmanager
def stack_on(disk: FullDisk, folder: Path, serving_address: str, broker: str = "valkey") -> Iterator[WorkerStack]:
    """One machine: a ledger in `ledger`, objects in `objects`, a broker in `broker`; the worker and beat run."""
    for name in ("ledger", "broker"):
        (folder / name).mkdir()
    url = f"sqlite:///{folder / 'ledger' / 'ledger.db'}"
    with (
        running_broker(broker, folder / "broker", env=disk.env) as broker_url,
        worker_stack(folder, database_url=url, broker_url=broker_url, serving_address=serving_address) as stack,
    ):
        stack.env |= disk.env
        stack.start_worker(ready=True)
        stack.start_beat()
        yield stack


def said(stack: WorkerStack, text: str) -> bool:
    """Whether a worker's log has it."""
    return any(text in log.read_text(errors="replace") for log in stack.folder.glob("worker-*.log"))


def check_whole(stack: WorkerStack, job_id: uuid.UUID) -> None:
    job = stack.wait(job_id, timeout_s=180)
    assert (job.state, job.succeeded, job.failed, job.crashes) == (JobState.SUCCEEDED, ITEMS, 0, 0)
    assert [row.item_no for row in stack.results(job.id)] == list(range(ITEMS))
    with reading(stack.engine) as session:
        assert session.scalar(select(func.sum(Chunk.crashes)).where(Chunk.job_id == job.id)) == 0


@contextmanager
def api_of(stack: WorkerStack) -> Iterator[str]:
    port = free_port()
    env = stack.env | {"DERMQ_API_PORT": str(port), "DERMQ_API_HOST": "127.0.0.1", "DERMQ_SERVING_DEFAULT_MODEL": "tiny"}
    with running([sys.executable, "-m", "api"], log=stack.folder / "api.log", env=env):
        wait_until(lambda: accepts(port), timeout_s=60, what=f"an API on port {port}")
        yield f"http://127.0.0.1:{port}"


def test_storage_without_room_takes_no_upload_and_no_index_and_both_come_later(
    disk: FullDisk, tmp_path: Path, serving_address: str
) -> None:
    archive = write_zip(tmp_path / "a.zip", pictures(ITEMS))
    with stack_on(disk, tmp_path, serving_address) as stack, api_of(stack) as url:
        running_job = stack.submit(archive)
        stack.wait_for_rows(running_job, 16)
        with disk.full(tmp_path / "objects"):
            before = sorted(path for path in (tmp_path / "objects").rglob("*") if path.is_file())
            refused = httpx2.put(f"{url}/v1/jobs/b.zip", content=archive.read_bytes(), timeout=60)
            assert (refused.status_code, refused.json()["code"]) == (503, "storage_unavailable")
            assert sorted(path for path in (tmp_path / "objects").rglob("*") if path.is_file()) == before
            unlisted = stack.submit(archive)  # its index does not fit
            wait_until(
                lambda: dependency_of(stack.job(unlisted).waiting_for) == "storage", timeout_s=60, what="a job that says so"
            )
            assert stack.job(unlisted).state == JobState.QUEUED
            check_whole(stack, running_job)  # it only reads
        taken = httpx2.put(f"{url}/v1/jobs/b.zip", content=archive.read_bytes(), timeout=60)
        assert taken.status_code == 202
        check_whole(stack, unlisted)
        check_whole(stack, uuid.UUID(taken.json()["id"]))


def test_a_ledger_without_room_loses_and_fails_nothing(disk: FullDisk, tmp_path: Path, serving_address: str) -> None:
    archive = write_zip(tmp_path / "a.zip", pictures(ITEMS))
    with stack_on(disk, tmp_path, serving_address) as stack:
        job_id = stack.submit(archive)
        stack.wait_for_rows(job_id, 50)
        with disk.full(tmp_path / "ledger"):
            wait_until(lambda: said(stack, "database or disk is full"), timeout_s=60, what="a worker to meet the full disk")
            assert stack.job(job_id).state == JobState.RUNNING, "the disk was full too late to mean anything"
        check_whole(stack, job_id)


@pytest.mark.parametrize("broker", ["valkey", "redis"])
def test_an_append_only_file_without_room_stops_wake_ups_alone(
    broker: str, disk: FullDisk, tmp_path: Path, serving_address: str
) -> None:
    if broker_binary(broker) is None:
        pytest.skip("Redis is not installed (Debian: apt-get install redis-server)")
    archive = write_zip(tmp_path / "a.zip", pictures(ITEMS))
    with (
        stack_on(disk, tmp_path, serving_address, broker) as stack,
        Redis.from_url(stack.env["DERMQ_BROKER_URL"]) as redis,
    ):
        first = stack.submit(archive)
        stack.wait_for_rows(first, 16)
        with disk.full(tmp_path / "broker"):
            wait_until(lambda: is_refused(redis), timeout_s=60, what=f"{broker} to take no more writes")
            second = stack.submit(archive)  # its wake-up is refused
            wait_until(lambda: said(stack, "MISCONF"), timeout_s=60, what="a worker to be refused")
            for job_id in (first, second):
                assert stack.job(job_id).state in (JobState.QUEUED, JobState.RUNNING, JobState.SUCCEEDED)
        for job_id in (first, second):
            check_whole(stack, job_id)


def is_refused(redis: Redis) -> bool:
    try:
        redis.set("asked by the test", "x" * 100)
    except ResponseError as error:
        return "MISCONF" in str(error)
    return False
