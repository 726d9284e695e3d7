"""One run: a stack, a stream of jobs, faults; then the sum of what was found."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import case, func, select

from core.db.engine import reading
from core.db.models import GONE_TENANT_ID, Chunk, Result, Tally
from core.db.models import Job as Row
from core.db.strays import count_strays
from core.errors import DatabaseUnavailableError
from core.imaging import decode_image
from core.settings import ImageLimits
from serving.client import PredictClient
from tests.chaos.faults import KINDS, Injector, draw_faults
from tests.chaos.parts import Stack, running_stack
from tests.chaos.stream import ENDED, SHADES, Client, Job, Stream, picture
from tests.support.servers import wait_until

_SIDE = 28  # pixels, of the model's input
_TOLERANCE = 1e-5  # of a probability: batches of other sizes add up in another order
_PATIENCE_S = 120.0


@dataclass
class Findings:
    """What a run is judged by; each of the counts should be 0."""

    lost: int = 0  # items without a row
    doubled: int = 0  # rows beyond an item's one, or counts beyond the items
    wrong: int = 0  # rows or jobs that say something else than the truth
    stuck: int = 0  # jobs that did not end
    notes: list[str] = field(default_factory=list)


def direct_answers(address: str) -> npt.NDArray[np.float32]:
    """What Serving answers for each picture, asked without DermQ: float32 [pictures, classes]."""
    images = np.empty((SHADES, _SIDE, _SIDE, 3), np.uint8)
    for shade in range(SHADES):
        decode_image(picture(shade), height=_SIDE, width=_SIDE, resize="stretch", limits=ImageLimits(), out=images[shade])
    with PredictClient(address, 60.0) as client:
        return client.predict("tiny", client.describe("tiny").version, images)


class Judge:
    """Compares each ended job with what it must be."""

    def __init__(self, stack: Stack) -> None:
        self.findings = Findings()
        self._answers = direct_answers(stack.serving_address)

    def check(self, client: Client, job: Job) -> None:
        """By the API: state, counts, one right row for each item."""
        rows = client.rows(job)
        self._check_end(job)
        numbers = Counter(row["item"] for row in rows)
        items = len(job.shades)
        counted = job.end["counts"]["succeeded"] + job.end["counts"]["failed"]
        self._count("doubled", sum(numbers.values()) - len(numbers) + max(0, counted - items), job)
        missing = len(set(range(items)) - numbers.keys())
        if job.end["state"] == "succeeded":
            self._count("lost", missing, job)
        self._count("lost", max(0, counted - len(numbers)), job)
        self._count("wrong", sum(not self._is_right(job, row) for row in rows), job)

    def _check_end(self, job: Job) -> None:
        state = job.end["state"]
        if state != "succeeded" and not (state == "cancelled" and job.is_cancelled):
            self._count("wrong", 1, job, f"{state}: {job.end['error']}")

    def _is_right(self, job: Job, row: dict[str, Any]) -> bool:
        at = row["item"]
        if row["name"] != f"{at:04}.jpg":
            return False
        if at in job.broken:
            return row["status"] == "failed" and row["error_code"] in ("truncated", "damaged")
        if row["status"] != "succeeded":
            return False
        said = np.array([value for key, value in row.items() if key.startswith("p_")], np.float64)
        return bool(np.abs(said - self._answers[job.shades[at]]).max() < _TOLERANCE)

    def _count(self, kind: str, amount: int, job: Job, note: str = "") -> None:
        if amount:
            setattr(self.findings, kind, getattr(self.findings, kind) + amount)
            self.findings.notes.append(f"{kind} {amount} in job {job.number} ({job.id}): {note or job.end.get('counts')}")

    def check_ledger(self, stack: Stack, jobs: list[Job]) -> None:
        """By SQL, when all is over: rows and states are still what they were, and nothing else is there."""
        for job in jobs:
            if job.problem:
                self._count("stuck", 1, job, job.problem)
        with reading(stack.engine) as session:
            states = dict(session.execute(select(Row.id, Row.state).where(Row.tenant_id != GONE_TENANT_ID)).all())
            counts = dict(session.execute(select(Result.job_id, func.count()).group_by(Result.job_id)).all())
        known = {uuid.UUID(job.id): job for job in jobs if job.id and not job.is_gone}
        self.findings.doubled += len(states.keys() - known.keys())  # a job that nobody knows of: submitted twice
        for job_id, job in known.items():
            if job.problem:
                continue
            if states.get(job_id) != job.end["state"]:
                self._count("wrong", 1, job, f"state {states.get(job_id)} after {job.end['state']}")
            counted = job.end["counts"]["succeeded"] + job.end["counts"]["failed"]
            self._count("lost", max(0, counted - counts.get(job_id, 0)), job)
            self._count("doubled", max(0, counts.get(job_id, 0) - counted), job)


class Progress(Thread):
    """Watches the ledger: when did any item get its outcome, and when was there nothing to do."""

    def __init__(self, stack: Stack) -> None:
        super().__init__(name="progress", daemon=True)
        self._stack = stack
        self.ended = Event()
        self.has_rows = Event()
        self.moved_at: list[float] = []  # monotonic; also the instants without work

    def run(self) -> None:
        last = None
        while not self.ended.wait(0.1):
            try:
                with reading(self._stack.engine) as session:
                    unfinished = session.scalar(select(func.count()).select_from(Row).where(Row.state.not_in(ENDED)))
                    done = session.scalar(select(func.count()).select_from(Result)), len(session.scalars(select(Row.id)).all())
            except DatabaseUnavailableError:
                continue
            if done != last or not unfinished:
                self.moved_at.append(time.monotonic())
            if done[0]:
                self.has_rows.set()
            last = done

    def await_first_row(self) -> None:
        """Until then everything starts: that is no recovery."""
        wait_until(self.has_rows.is_set, timeout_s=_PATIENCE_S, what="the first row")

    def longest_recovery_s(self, back_at: list[tuple[str, float]]) -> tuple[float, str]:
        """The longest time from a part's return to the next sign of progress, and after which fault it was."""
        waits = [(min((at - back for at in self.moved_at if at >= back), default=0.0), name) for name, back in back_at]
        return max(waits, default=(0.0, ""))


def run_chaos(
    folder: Path,
    models: Path,
    *,
    kills: int,
    seed: int,
    jobs: int,
    postgres: bool,
    kinds: Collection[str] = KINDS,
    most_items: int = 120,
) -> dict[str, Any]:
    """Run, check, and say what was found: the JSON object of `make chaos`."""
    began = time.monotonic()
    with running_stack(folder, models, postgres=postgres) as stack:
        judge, injector, progress = Judge(stack), Injector(stack), Progress(stack)
        stream = Stream(stack.api_url, f"{seed}-{uuid.uuid4().hex[:6]}", seed, jobs, most_items, judge.check)
        progress.start()
        stream.start()
        progress.await_first_row()
        for fault in draw_faults(seed, kills, postgres=postgres, kinds=kinds):
            injector.apply(fault)
        stream.finish()
        progress.ended.set()
        progress.join()
        judge.check_ledger(stack, stream.jobs)
        redone = _redone_chunks(stack)
        leaked = _leaked_objects(stack, stream)
        leaked_rows = 0 if any(job.problem for job in stream.jobs) else _leaked_rows(stack)
    recovery_s, after = progress.longest_recovery_s(injector.back_at)
    found = judge.findings
    return {
        "db": "postgres" if postgres else "sqlite",
        "seed": seed,
        "kinds": [kind for kind in KINDS if kind in kinds],
        "faults": sum(injector.done.values()),
        "kills": dict(sorted(injector.done.items())),
        "jobs": len(stream.jobs),
        "items": sum(len(job.shades) for job in stream.jobs),
        "lost": found.lost,
        "doubled": found.doubled,
        "wrong": found.wrong,
        "stuck": found.stuck,
        "leaked_objects": leaked,
        "leaked_rows": leaked_rows,
        "redone_chunks": redone,
        "longest_recovery_s": round(recovery_s, 1),
        "longest_after": after,
        "took_s": round(time.monotonic() - began),
        "notes": found.notes[:20],
    }


def _redone_chunks(stack: Stack) -> int:
    """Claims beyond the first of each chunk that is still in the ledger."""
    with reading(stack.engine) as session:
        again = func.sum(case((Chunk.attempt > 1, Chunk.attempt - 1), else_=0))
        return int(session.scalar(select(again)) or 0)


def _leaked_objects(stack: Stack, stream: Stream) -> int:
    """Objects that are left when every job is deleted and the sweep has had its time."""
    client = Client(stack.api_url, stream.patience)
    for job in stream.jobs:
        if job.id and not job.problem:
            client.call("DELETE", f"/v1/jobs/{job.id}")
    client.close()
    deadline = time.monotonic() + _PATIENCE_S
    while _objects(stack) and time.monotonic() < deadline:
        with reading(stack.engine) as session:
            waiting = sum(count_strays(session))
        if not waiting and time.monotonic() > deadline - _PATIENCE_S / 2:
            break  # nobody knows of what is there
        time.sleep(0.5)
    return len(_objects(stack))


def _leaked_rows(stack: Stack) -> int:
    """Rows that are left when every job is deleted and the sweep has had its time."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        with reading(stack.engine) as session:
            left = sum(session.scalar(select(func.count()).select_from(table)) or 0 for table in (Row, Chunk, Result, Tally))
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.5)


def _objects(stack: Stack) -> list[Path]:
    found = [path for path in stack.objects.rglob("*") if path.is_file()]
    return [path for path in found if ".incoming" not in path.parts]  # unfinished writes are removed after an hour
