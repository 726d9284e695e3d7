"""Jobs through real workers: on SQLite with Valkey, and on PostgreSQL with Redis, two workers each."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from core.db.engine import reading
from core.db.jobs import read_tallies
from core.db.models import JobState
from tests.support.faulty_worker import DAWDLE, HANG, SEGFAULT
from tests.support.servers import broker_binary, free_port, running_broker, running_serving, wait_until
from tests.support.stack import WorkerStack, jpeg, kill_group, png, worker_stack, write_tar, write_zip

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
    (tmp_path / "broker").mkdir()
    with (
        running_broker(kind, tmp_path / "broker") as broker_url,
        worker_stack(tmp_path, database_url=database_url, broker_url=broker_url, serving_address=serving_address) as stack,
    ):
        stack.start_worker()
        stack.start_worker()
        stack.start_beat()
        yield stack


def pictures(count: int) -> Iterator[tuple[str, bytes]]:
    shades = [jpeg(20 + shade) for shade in range(50)]
    return ((f"{number:05}.jpg", shades[number % 50]) for number in range(count))


@BOTH
def test_every_member_gets_a_row_and_bad_ones_their_code(stack: WorkerStack, tmp_path: Path) -> None:
    members = [*pictures(60), ("sub/cut.jpg", jpeg(9)[:300]), ("notes.jpg", b"these are words"), ("none.png", b"")]
    archive = write_zip(tmp_path / "a.zip", [*members, ("__MACOSX/._x", b"x"), (".DS_Store", b"x")])
    job_id = stack.submit(archive)
    job = stack.wait(job_id)
    assert (job.state, job.total, job.succeeded, job.failed, job.skipped) == (JobState.SUCCEEDED, 63, 60, 3, 2)
    rows = stack.results(job_id)
    assert [row.name.decode() for row in rows] == [name for name, _ in members]
    assert [row.error_code for row in rows[60:]] == ["truncated", "not_an_image", "empty"]
    assert {row.version for row in rows} == {2} == {job.version}
    assert all((row.width, row.height) == (40, 30) for row in rows[:60])


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


@BOTH
def test_cancel_stops_promptly_and_keeps_the_rows_so_far(stack: WorkerStack, tmp_path: Path) -> None:
    job_id = stack.submit(write_zip(tmp_path / "a.zip", pictures(3000)))
    stack.wait_for_rows(job_id, 50)
    stack.cancel(job_id)
    job = stack.wait(job_id, timeout_s=5)
    assert job.state == JobState.CANCELLED
    assert 0 < job.succeeded < 3000
    assert len(stack.results(job_id)) == job.succeeded


def test_one_image_that_the_model_refuses_fails_alone(stack: WorkerStack, tmp_path: Path) -> None:
    members = [(f"{n}.png", png(77 if n in (3, 20) else 100 + n)) for n in range(30)]
    job_id = stack.submit(write_zip(tmp_path / "a.zip", members))
    job = stack.wait(job_id)
    assert (job.state, job.succeeded, job.failed) == (JobState.SUCCEEDED, 28, 2)
    assert [(r.item_no, r.error_code) for r in stack.results(job_id) if r.error_code] == [
        (3, "rejected_by_model"),
        (20, "rejected_by_model"),
    ]


def test_an_unknown_model_and_an_unreadable_archive_fail_the_job(stack: WorkerStack, tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", pictures(3))
    unknown = stack.wait(stack.submit(archive, model="nobody"))
    assert (unknown.state, unknown.error_code) == (JobState.FAILED, "unknown_model")
    (tmp_path / "b.zip").write_bytes(archive.read_bytes()[:-40])
    unreadable = stack.wait(stack.submit(tmp_path / "b.zip"))
    assert (unreadable.state, unreadable.error_code) == (JobState.FAILED, "unreadable_archive")


@BOTH
def test_notes_of_the_archive_and_of_its_images_reach_the_ledger(stack: WorkerStack, tmp_path: Path) -> None:
    """A TAR with bytes behind its end, of which one picture is smaller than the model's input of 28 x 28 pixels."""
    members = [("small.jpg", jpeg(90, size=(20, 40))), ("large.jpg", jpeg(120)), ("broken.jpg", b"\xff\xd8\xff nothing")]
    archive = write_tar(tmp_path / "a.tar", members)
    archive.write_bytes(archive.read_bytes() + b"x" * 512)
    job = stack.wait(stack.submit(archive))
    assert (job.state, job.succeeded, job.failed) == (JobState.SUCCEEDED, 2, 1)
    text = "512 bytes follow the end of the archive; they were not read."
    assert job.notes == [{"code": "trailing_bytes", "count": 512, "text": text}]
    small, large, broken = (set((row.notes or "").split(",")) for row in stack.results(job.id))
    assert ("low_resolution" in small, "low_resolution" in large, broken) == (True, False, {""})
    with reading(stack.engine) as session:
        assert read_tallies(session, job.id).notes["low_resolution"] == 1


@BOTH
def test_a_failure_can_be_written_whatever_the_name_is(stack: WorkerStack, tmp_path: Path) -> None:
    """A source whose name is no UTF-8, and which is no archive: the job fails and says so, and does not hang."""
    path = tmp_path / os.fsdecode(b"sk\xffin.zip")
    path.write_bytes(b"PK\x03\x04 no archive")
    job = stack.wait(stack.submit(path))
    assert (job.state, job.error_code, job.crashes) == (JobState.FAILED, "unreadable_archive", 0)
    assert job.name == r"sk\xffin.zip"


def test_a_folder_that_became_a_link_after_its_submission_is_not_read(
    stack: WorkerStack, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    secret = tmp_path_factory.mktemp("secret")
    (secret / "jane-doe.jpg").write_bytes(jpeg(5))
    dropped = stack.folder / "dropped"
    dropped.symlink_to(secret)  # as submission saw it, it was a folder
    job = stack.wait(stack.submit(dropped))
    assert (job.state, job.error_code) == (JobState.FAILED, "forbidden_source")
    assert "DERMQ_API_SOURCE_ROOTS" in (job.error or "")
    assert stack.results(job.id) == []


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
        stack.start_worker()
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
    leaving = stack.start_worker()
    job_id = stack.submit(write_zip(tmp_path / "a.zip", pictures(2000)))
    stack.wait_for_rows(job_id, 50)
    os.kill(leaving.pid, signal.SIGTERM)
    assert leaving.wait(15) == 0
    assert stack.wait(job_id).succeeded == 2000
