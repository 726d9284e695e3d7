"""Jobs through real workers, on SQLite with Valkey and on PostgreSQL with Redis: what becomes of good and odd archives.

The tests of one kind of database share a stack, whose parts they leave alone; they write below its folder.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from core.db.engine import reading
from core.db.jobs import read_tallies
from core.db.models import JobState
from tests.support.databases import own_database
from tests.support.hostile import ATTACKS, draw_archive
from tests.support.servers import broker_binary
from tests.support.stack import WorkerStack, all_up, jpeg, pictures, png, write_tar, write_zip

SQLITE, POSTGRESQL = ("sqlite", "valkey"), ("postgresql", "redis")
BOTH = pytest.mark.parametrize("stack", [SQLITE, POSTGRESQL], ids="-".join, indirect=True)
ON_SQLITE = pytest.mark.parametrize("stack", [SQLITE], ids="-".join, indirect=True)


@pytest.fixture(scope="module")
def stack(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, serving_address: str
) -> Iterator[WorkerStack]:
    """Two workers and a beat, everything up, on a database and a broker that the parameter names."""
    database, kind = request.param
    folder = tmp_path_factory.mktemp("shared")
    with ExitStack() as at_the_end:
        if database == "sqlite":
            url = f"sqlite:///{folder / 'ledger.db'}"
        elif broker_binary(kind) is None:
            pytest.skip("Redis is not installed (Debian: apt-get install redis-server)")
        else:
            url = at_the_end.enter_context(own_database(request.getfixturevalue("postgres_server"), "worker_jobs"))
        yield at_the_end.enter_context(all_up(folder, url, kind, serving_address))


@pytest.fixture
def folder(stack: WorkerStack, request: pytest.FixtureRequest) -> Path:
    """A test's own folder where the workers of the shared stack may read."""
    path = stack.folder / re.sub(r"\W", "_", request.node.name)
    path.mkdir()
    return path


@BOTH
def test_every_member_gets_a_row_and_bad_ones_their_code(stack: WorkerStack, folder: Path) -> None:
    members = [*pictures(60), ("sub/cut.jpg", jpeg(9)[:300]), ("notes.jpg", b"these are words"), ("none.png", b"")]
    archive = write_zip(folder / "a.zip", [*members, ("__MACOSX/._x", b"x"), (".DS_Store", b"x")])
    job_id = stack.submit(archive)
    job = stack.wait(job_id)
    assert (job.state, job.total, job.succeeded, job.failed, job.skipped) == (JobState.SUCCEEDED, 63, 60, 3, 2)
    rows = stack.results(job_id)
    assert [row.name.decode() for row in rows] == [name for name, _ in members]
    assert [row.error_code for row in rows[60:]] == ["truncated", "not_an_image", "empty"]
    assert {row.version for row in rows} == {2} == {job.version}
    assert all((row.width, row.height) == (40, 30) for row in rows[:60])


@ON_SQLITE
def test_every_attack_costs_its_own_row_and_no_other(stack: WorkerStack, folder: Path) -> None:
    """The figures of a larger archive through `dermq screen`: `python -m benchmarks.hostile`."""
    quick = [attack for attack in ATTACKS if "9,900" not in attack.name]  # that one may outlast this stack's short time limits
    drawn = draw_archive(120, 2 * len(quick), seed=3, attacks=quick)
    archive = folder / "attacks.zip"
    archive.write_bytes(drawn.data)
    job_id = stack.submit(archive)
    assert stack.wait(job_id, timeout_s=120).state == JobState.SUCCEEDED
    found = {row.name.decode(): row.error_code for row in stack.results(job_id)}
    assert found == {name: code and str(code) for name, code in drawn.expected.items()}


@BOTH
def test_cancel_stops_promptly_and_keeps_the_rows_so_far(stack: WorkerStack, folder: Path) -> None:
    job_id = stack.submit(write_zip(folder / "a.zip", pictures(3000)))
    stack.wait_for_rows(job_id, 50)
    stack.cancel(job_id)
    job = stack.wait(job_id, timeout_s=5)
    assert job.state == JobState.CANCELLED
    assert 0 < job.succeeded < 3000
    assert len(stack.results(job_id)) == job.succeeded


@ON_SQLITE
def test_one_image_that_the_model_refuses_fails_alone(stack: WorkerStack, folder: Path) -> None:
    members = [(f"{n}.png", png(77 if n in (3, 20) else 100 + n)) for n in range(30)]
    job_id = stack.submit(write_zip(folder / "a.zip", members))
    job = stack.wait(job_id)
    assert (job.state, job.succeeded, job.failed) == (JobState.SUCCEEDED, 28, 2)
    assert [(r.item_no, r.error_code) for r in stack.results(job_id) if r.error_code] == [
        (3, "rejected_by_model"),
        (20, "rejected_by_model"),
    ]


@ON_SQLITE
def test_an_unknown_model_and_an_unreadable_archive_fail_the_job(stack: WorkerStack, folder: Path) -> None:
    archive = write_zip(folder / "a.zip", pictures(3))
    unknown = stack.wait(stack.submit(archive, model="nobody"))
    assert (unknown.state, unknown.error_code) == (JobState.FAILED, "unknown_model")
    (folder / "b.zip").write_bytes(archive.read_bytes()[:-40])
    unreadable = stack.wait(stack.submit(folder / "b.zip"))
    assert (unreadable.state, unreadable.error_code) == (JobState.FAILED, "unreadable_archive")


@BOTH
def test_notes_of_the_archive_and_of_its_images_reach_the_ledger(stack: WorkerStack, folder: Path) -> None:
    """A TAR with bytes behind its end, of which one picture is smaller than the model's input of 28 x 28 pixels."""
    members = [("small.jpg", jpeg(90, size=(20, 40))), ("large.jpg", jpeg(120)), ("broken.jpg", b"\xff\xd8\xff nothing")]
    archive = write_tar(folder / "a.tar", members)
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
def test_a_failure_can_be_written_whatever_the_name_is(stack: WorkerStack, folder: Path) -> None:
    """A source whose name is no UTF-8, and which is no archive: the job fails and says so, and does not hang."""
    path = folder / os.fsdecode(b"sk\xffin.zip")
    path.write_bytes(b"PK\x03\x04 no archive")
    job = stack.wait(stack.submit(path))
    assert (job.state, job.error_code, job.crashes) == (JobState.FAILED, "unreadable_archive", 0)
    assert job.name == r"sk\xffin.zip"


@ON_SQLITE
def test_a_folder_that_became_a_link_after_its_submission_is_not_read(
    stack: WorkerStack, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    secret = tmp_path_factory.mktemp("secret")
    (secret / "jane-doe.jpg").write_bytes(jpeg(5))
    dropped = folder / "dropped"
    dropped.symlink_to(secret)  # as submission saw it, it was a folder
    job = stack.wait(stack.submit(dropped))
    assert (job.state, job.error_code) == (JobState.FAILED, "forbidden_source")
    assert "DERMQ_API_SOURCE_ROOTS" in (job.error or "")
    assert stack.results(job.id) == []
