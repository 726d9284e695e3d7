"""Rolling restarts of workers under a stream of jobs, and what they cost."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import threading
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import func, select

from core.db.engine import reading
from core.db.models import Chunk
from tests.support.stack import WorkerStack, pictures, write_zip

_GRACE_S = 60.0


@dataclass
class Stream:
    """Jobs of one size, some of them unfinished at any time, from a thread of its own."""

    stack: WorkerStack
    archive: Path
    at_once: int = 3
    jobs: list[uuid.UUID] = field(default_factory=list)
    _ending: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Stream:
        self._threads = [threading.Thread(target=self._run) for _ in range(self.at_once)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while not self._ending.is_set():
            self.jobs.append(job_id := self.stack.submit(self.archive))
            self.stack.wait(job_id, timeout_s=150)

    def latencies_s(self) -> list[float]:
        """From submission to success, in seconds, of each job."""
        found = [self.stack.job(job_id) for job_id in self.jobs]
        return [(job.succeeded_at - job.created_at).total_seconds() for job in found if job.succeeded_at is not None]


def stream_of(stack: WorkerStack, items: int, **changes: int) -> Stream:
    """A stream of jobs with so many pictures each."""
    archive = stack.folder / f"{items}.zip"
    return Stream(stack, archive if archive.exists() else write_zip(archive, pictures(items)), **changes)


def roll(stack: WorkerStack, workers: list[subprocess.Popen[bytes]], restarts: int, seed: int) -> None:
    """One worker after the other, in a seeded order: a new one is ready, then the old one ends in its own time."""
    order = random.Random(seed)
    for _ in range(restarts):
        leaving = workers.pop(order.randrange(len(workers)))
        workers.append(stack.start_worker(ready=True))
        leaving.send_signal(signal.SIGTERM)
        if (code := leaving.wait(_GRACE_S)) != 0:
            raise RuntimeError(f"expected a worker to end with 0 on SIGTERM, got {code}")


@dataclass(frozen=True, slots=True)
class Redone:
    """Work that was done more often than once."""

    rows: int  # of all jobs
    finished: int  # items that workers committed, as their logs say
    unfinished_runs: int  # of chunks: claimed, and nothing of it committed
    crashes: int  # that were counted against chunks
    lost_leases: int  # chunks whose rows came too late
    waits: int  # of these runs: something did not answer in time, and the chunk was put back


def count_redone(stack: WorkerStack, stream: Stream) -> Redone:
    """From the ledger, and from the logs of all workers that ran."""
    lines = [line for path in stack.folder.glob("worker-*.log") for line in path.read_text(errors="replace").splitlines()]
    events = [json.loads(line) for line in lines if line.startswith("{")]
    ours = {str(job_id) for job_id in stream.jobs}
    mine = [event for event in events if event.get("job_id") in ours]
    finished = [event["items"] for event in mine if event["event"] == "chunk_finished"]
    with reading(stack.engine) as session:
        counts = select(func.sum(Chunk.attempt), func.sum(Chunk.crashes)).where(Chunk.job_id.in_(stream.jobs))
        claims, crashes = session.execute(counts).one()
    return Redone(
        rows=sum(stack.job(job_id).succeeded for job_id in stream.jobs),
        finished=sum(finished),
        unfinished_runs=int(claims or 0) - len(finished),
        crashes=int(crashes or 0),
        lost_leases=sum(event["event"] == "chunk_lease_lost" for event in mine),
        waits=sum(event["event"] == "chunk_waits" for event in mine),
    )
