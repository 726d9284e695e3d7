"""A whole DermQ but for its HTTP front, for integration tests: database, broker, storage, serving, real workers and beat."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import uuid
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

import numpy as np
from celery import Celery
from PIL import Image
from sqlalchemy import Engine, select

from core.broker import celery_config
from core.clock import SystemClock
from core.db.engine import open_engine, reading, transaction
from core.db.jobs import NewJob, create_job, get_job
from core.db.lifecycle import request_cancel
from core.db.models import LOCAL_TENANT_ID, TERMINAL_STATES, Job, Result
from core.db.schema.migrate import upgrade
from core.messages import prepare_message
from core.settings import DatabaseSettings, Settings
from tests.support.servers import running, running_broker, wait_until
from worker.publish import make_publisher

_ENVIRONMENT = Lock()  # tests ask for settings in threads of their own, and the environment is the process's

# Short rhythms, in the order that settings demand: soft < hard < lease, visibility > 2 x hard.
RHYTHM = {
    "DERMQ_WORKER_CONCURRENCY": "1",
    "DERMQ_WORKER_CHUNK_ITEMS": "16",
    "DERMQ_WORKER_BATCH_ITEMS": "8",
    "DERMQ_WORKER_WINDOW": "4",
    "DERMQ_WORKER_SOFT_LIMIT_S": "4",
    "DERMQ_WORKER_HARD_LIMIT_S": "6",
    "DERMQ_WORKER_LEASE_S": "8",
    "DERMQ_WORKER_VISIBILITY_TIMEOUT_S": "30",
    "DERMQ_WORKER_SWEEP_INTERVAL_S": "1",
    "DERMQ_WORKER_REPUBLISH_S": "3",
    "DERMQ_WORKER_BACKOFF_S": "0.2",
    "DERMQ_WORKER_MAX_BACKOFF_S": "1",
    "DERMQ_WORKER_MAX_CRASHES": "2",
}


@dataclass
class WorkerStack:
    """Addresses and processes of one test."""

    folder: Path
    env: dict[str, str]
    exits: ExitStack = field(default_factory=ExitStack)
    revision: str | None = "head"  # that the ledger is brought to; None: as it is
    engine: Engine = field(init=False)

    def __post_init__(self) -> None:
        self.engine = open_engine(self.env["DERMQ_DATABASE_URL"], DatabaseSettings())
        if self.revision is not None:
            upgrade(self.engine, self.revision)

    def start_worker(self, *, module: str = "worker", ready: bool = False) -> subprocess.Popen[bytes]:
        """A worker process with one child; ended with the test. With `ready` it takes messages when this returns."""
        log = self.folder / f"worker-{uuid.uuid4().hex[:6]}.log"
        worker = self.exits.enter_context(running([sys.executable, "-m", module], log=log, env=self.env))
        if ready:
            wait_until(lambda: " ready." in log.read_text(), timeout_s=180, what="a line in the worker's log that it is ready")
        return worker

    def start_beat(self) -> None:
        self.exits.enter_context(running([sys.executable, "-m", "worker", "beat"], log=self.folder / "beat.log", env=self.env))

    def submit(self, archive: Path, *, ring: bool = True, **changes: object) -> uuid.UUID:
        """What the API does: commit the job, then send the wake-up."""
        fields = {
            "tenant_id": LOCAL_TENANT_ID,
            "name": archive.name,
            "source": {"kind": "path", "path": str(archive)},
            "model": "tiny",
        }
        with transaction(self.engine) as session:
            job_id = create_job(session, NewJob(**{**fields, **changes}), SystemClock().now()).id  # type: ignore[arg-type]
        if ring:
            with Celery(set_as_current=False) as app:
                app.conf.update(celery_config(self.settings))
                make_publisher(app)([prepare_message(job_id, interactive=False)])
        return job_id

    @property
    def settings(self) -> Settings:
        with _ENVIRONMENT:
            previous = {name: os.environ.get(name) for name in self.env}
            os.environ.update(self.env)
            try:
                return Settings()
            finally:
                for name, value in previous.items():
                    os.environ.pop(name) if value is None else os.environ.update({name: value})

    def job(self, job_id: uuid.UUID) -> Job:
        with reading(self.engine) as session:
            return get_job(session, LOCAL_TENANT_ID, job_id)

    def cancel(self, job_id: uuid.UUID) -> None:
        with transaction(self.engine) as session:
            request_cancel(session, LOCAL_TENANT_ID, job_id, SystemClock().now())

    def results(self, job_id: uuid.UUID) -> list[Result]:
        with reading(self.engine) as session:
            return list(session.scalars(select(Result).where(Result.job_id == job_id).order_by(Result.item_no)))

    def wait(self, job_id: uuid.UUID, *, timeout_s: float = 60) -> Job:
        """Wait for the job's end."""
        try:
            wait_until(lambda: self.job(job_id).state in TERMINAL_STATES, timeout_s=timeout_s, what="the job's end", poll_s=0.1)
        except TimeoutError as error:
            job = self.job(job_id)
            logs = "\n".join(path.read_text(errors="replace")[-3000:] for path in self.folder.glob("*.log"))
            raise TimeoutError(
                f"{error}: job is {job.state}, {job.remaining} of {job.total} remain, waits for {job.waiting_for}\n{logs}"
            ) from error
        return self.job(job_id)

    def wait_for_rows(self, job_id: uuid.UUID, count: int) -> None:
        wait_until(lambda: self.job(job_id).succeeded >= count, timeout_s=60, what=f"{count} rows of job {job_id}", poll_s=0.01)


@contextmanager
def worker_stack(
    folder: Path, *, database_url: str, broker_url: str, serving_address: str, revision: str | None = "head"
) -> Iterator[WorkerStack]:
    """Addresses put together; processes are started by the test."""
    env = {
        **RHYTHM,
        "DERMQ_DATABASE_URL": database_url,
        "DERMQ_BROKER_URL": broker_url,
        "DERMQ_STORAGE_URL": (folder / "objects").as_uri(),
        "DERMQ_SERVING_ADDRESS": serving_address,
        "DERMQ_DATA_DIR": str(folder / "data"),
        "DERMQ_API_SOURCE_ROOTS": json.dumps([str(folder)]),
    }
    stack = WorkerStack(folder, env, revision=revision)
    try:
        with stack.exits:
            yield stack
    finally:
        stack.engine.dispose()


@contextmanager
def all_up(folder: Path, database_url: str, broker: str, serving_address: str) -> Iterator[WorkerStack]:
    """A broker ("valkey" or "redis"), two workers and a beat."""
    (folder / "broker").mkdir()
    with (
        running_broker(broker, folder / "broker") as broker_url,
        worker_stack(folder, database_url=database_url, broker_url=broker_url, serving_address=serving_address) as stack,
    ):
        stack.start_worker()
        stack.start_worker()
        stack.start_beat()
        yield stack


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """kill -9 of a worker with its children, as when a container dies."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)


def jpeg(shade: int, *, size: tuple[int, int] = (40, 30)) -> bytes:
    """A plain picture; its mean is about `shade`."""
    pixels = np.full((size[1], size[0], 3), shade, np.uint8)
    pixels[: size[1] // 3, :, 0] //= 2
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=90)
    return stream.getvalue()


def pictures(count: int) -> Iterator[tuple[str, bytes]]:
    """Names and bytes of members, in fifty shades."""
    shades = [jpeg(20 + shade) for shade in range(50)]
    return ((f"{number:05}.jpg", shades[number % 50]) for number in range(count))


def png(shade: int) -> bytes:
    """A picture of exactly one shade."""
    stream = io.BytesIO()
    Image.new("RGB", (28, 28), (shade, shade, shade)).save(stream, "PNG")
    return stream.getvalue()


def write_zip(path: Path, members: Iterable[tuple[str, bytes]]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


def write_tar(path: Path, members: Iterable[tuple[str, bytes]]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path
