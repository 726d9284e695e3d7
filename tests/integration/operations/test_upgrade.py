"""Upgrade under load: the previous release works on a job while the ledger is migrated and the new one takes over."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import tarfile
import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import select, text

from core.db.engine import reading
from core.db.migrations import versions
from core.db.models import Chunk, JobState
from core.db.schema.migrate import current_revision, head_revision, upgrade
from tests.support.servers import ROOT, running, running_broker, wait_until
from tests.support.stack import WorkerStack, pictures, worker_stack, write_zip

NEWEST = max(Path(versions.__file__).parent.glob("0*.py"))
ITEMS = 4000


def git(*arguments: str) -> bytes:
    command = ["git", "-c", f"safe.directory={ROOT}", *arguments]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout


@pytest.fixture(scope="session")
def previous_code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code before the newest migration came in, from the history."""
    try:
        added = git("log", "--diff-filter=A", "--format=%H", "--", str(NEWEST.relative_to(ROOT))).decode().split()
        packed = git("archive", "--format=tar", f"{added[-1]}^", "core", "serving", "worker")
    except (OSError, IndexError, subprocess.CalledProcessError) as error:
        pytest.skip(f"the history does not hold the release before {NEWEST.name}: {error}")
    folder = tmp_path_factory.mktemp("previous")
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        tar.extractall(folder, filter="data")
    return folder


@dataclass
class PreviousRelease:
    """Processes of the previous release on the stack's addresses."""

    folder: Path
    stack: WorkerStack

    def start(self, log: str, *arguments: str) -> subprocess.Popen[bytes]:
        """`python -m worker …` of that release."""
        code = "import runpy; runpy.run_module('worker', run_name='__main__')"
        return self.stack.exits.enter_context(
            running([*self._python(code), *arguments], log=self.stack.folder / log, env=self.stack.env)
        )

    def run(self, code: str) -> str:
        """A piece of code on that release's modules; returns its output."""
        done = subprocess.run(
            self._python(code), check=False, env={**os.environ, **self.stack.env}, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def _python(self, code: str) -> list[str]:
        # -P, and its folder first: this checkout's modules stay out.
        return [sys.executable, "-P", "-c", f"import sys; sys.path.insert(0, {str(self.folder)!r}); {code}"]


OPEN = """
from core.settings import Settings
from core.db.engine import open_engine, transaction
try:
    from core.db.schema.migrate import upgrade
except ModuleNotFoundError:  # the layout of release 0.1
    from core.db.migrate import upgrade
settings = Settings()
engine = open_engine(settings.database_url, settings.database)
"""
SUBMIT = """
from core.clock import SystemClock
from core.db.jobs import NewJob, create_job
from core.db.models import LOCAL_TENANT_ID
with transaction(engine) as session:
    new = NewJob(LOCAL_TENANT_ID, "a.zip", {"kind": "path", "path": ARCHIVE}, "tiny")
    print(create_job(session, new, SystemClock().now()).id)
"""


def test_a_job_runs_through_an_upgrade(previous_code: Path, postgres_url: str, serving_address: str, tmp_path: Path) -> None:
    (tmp_path / "broker").mkdir()
    archive = write_zip(tmp_path / "a.zip", pictures(ITEMS))
    with (
        running_broker("valkey", tmp_path / "broker") as broker_url,
        worker_stack(
            tmp_path, database_url=postgres_url, broker_url=broker_url, serving_address=serving_address, revision=None
        ) as stack,
    ):
        previous = PreviousRelease(previous_code, stack)
        previous.run(f"{OPEN}upgrade(engine)")
        assert current_revision(stack.engine) not in (None, head_revision())
        stack.env["DERMQ_WORKER_BATCH_ITEMS"] = "1"  # slow, so that the job lasts through it all
        old = previous.start("previous-worker.log")
        old_beat = previous.start("previous-beat.log", "beat")
        job_id = uuid.UUID(previous.run(f"{OPEN}ARCHIVE = {str(archive)!r}{SUBMIT}"))
        wait_until(lambda: rows(stack) >= 50, timeout_s=60, what="50 rows by the previous release", poll_s=0.02)

        upgrade(stack.engine)

        assert current_revision(stack.engine) == head_revision()
        at_migration = rows(stack)
        assert at_migration < ITEMS, "the job was done before the ledger was migrated"
        wait_until(lambda: rows(stack) > at_migration, timeout_s=60, what="the previous release to work on", poll_s=0.02)
        stack.env["DERMQ_WORKER_BATCH_ITEMS"] = "2"
        new = stack.start_worker()
        stack.start_beat()
        for leaving in (old_beat, old):
            os.kill(leaving.pid, signal.SIGTERM)
            assert leaving.wait(30) == 0
        assert stack.job(job_id).state == JobState.RUNNING, "nothing was left for the new release"
        job = stack.wait(job_id)
        assert (job.state, job.succeeded, job.failed) == (JobState.SUCCEEDED, ITEMS, 0)
        assert [row.item_no for row in stack.results(job_id)] == list(range(ITEMS))
        assert new.poll() is None
        with reading(stack.engine) as session:
            assert set(session.scalars(select(Chunk.crashes))) == {0}, "an upgrade is nobody's crash"


def rows(stack: WorkerStack) -> int:
    """Results so far, asked in a way that holds for both schemas."""
    with stack.engine.connect() as connection:
        return connection.scalar(text("SELECT count(*) FROM results")) or 0
