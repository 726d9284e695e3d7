"""Clocks that are wrong by an hour: of single hosts (PostgreSQL), and of the one machine, in the middle of a job (SQLite)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import func, select

from core.db.engine import read_time, reading
from core.db.models import Chunk, JobState
from tests.support.preloaded import WrongClock
from tests.support.servers import accepts, free_port, running, running_broker, wait_until
from tests.support.stack import WorkerStack, pictures, worker_stack, write_zip

ITEMS = 480


@pytest.fixture
def stack(database_url: str, serving_address: str, tmp_path: Path) -> Iterator[WorkerStack]:
    (tmp_path / "broker").mkdir()
    with (
        running_broker("valkey", tmp_path / "broker") as broker_url,
        worker_stack(tmp_path, database_url=database_url, broker_url=broker_url, serving_address=serving_address) as stack,
    ):
        yield stack


def check(stack: WorkerStack, job_id: object) -> None:
    """Every item has one row, none failed, and no chunk was ever taken from a process that lives."""
    job = stack.wait(job_id)  # type: ignore[arg-type]
    assert (job.state, job.succeeded, job.failed, job.crashes) == (JobState.SUCCEEDED, ITEMS, 0, 0)
    assert [row.item_no for row in stack.results(job.id)] == list(range(ITEMS))
    with reading(stack.engine) as session:
        assert session.scalar(select(func.sum(Chunk.crashes)).where(Chunk.job_id == job.id)) == 0


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_hosts_whose_clocks_are_an_hour_apart(stack: WorkerStack, tmp_path: Path) -> None:
    right = dict(stack.env)
    for host, seconds in (("ahead", 3600), ("behind", -3600)):
        stack.env = right | WrongClock(tmp_path, host, seconds).env
        stack.start_worker(ready=True)
    stack.start_beat()  # whose clock is behind
    archive = write_zip(tmp_path / "a.zip", pictures(ITEMS))
    check(stack, submit_over_http(stack, archive))
    lost = stack.submit(archive, ring=False)  # its wake-up never comes: the next tick finds it
    check(stack, lost)


def submit_over_http(stack: WorkerStack, archive: Path) -> str:
    """To an API whose clock is an hour ahead; what it writes is by the database's clock."""
    port = free_port()
    env = stack.env | WrongClock(stack.folder, "api", 3600).env | {"DERMQ_API_PORT": str(port), "DERMQ_API_HOST": "127.0.0.1"}
    with running([sys.executable, "-m", "api"], log=stack.folder / "api.log", env=env):
        wait_until(lambda: accepts(port), timeout_s=60, what=f"an API on port {port}")
        asked = {"source": str(archive), "model": "tiny"}
        made = httpx2.post(f"http://127.0.0.1:{port}/v1/jobs", json=asked, timeout=60).raise_for_status().json()
    job, now = stack.job(made["id"]), read_time(stack.engine)
    assert abs(job.created_at - now) < timedelta(minutes=30), "the API wrote its own clock's time"
    return str(made["id"])


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_machine_whose_clock_is_set_in_mid_job(stack: WorkerStack, tmp_path: Path) -> None:
    clock = WrongClock(tmp_path, "machine", 0)
    stack.env |= clock.env
    stack.start_worker(ready=True)
    stack.start_worker(ready=True)
    stack.start_beat()
    job_id = stack.submit(write_zip(tmp_path / "a.zip", pictures(ITEMS)))
    for rows, seconds in ((50, 3600), (200, -3600)):
        stack.wait_for_rows(job_id, rows)
        clock.set(seconds)
    assert stack.job(job_id).state == JobState.RUNNING, "the clock was set too late to mean anything"
    check(stack, job_id)
    check(stack, stack.submit(tmp_path / "a.zip", ring=False))  # beat, too, goes on, though its clock was put back
