"""Figures about all jobs together, for scaling and dashboards: what there is to do, and what the newest chunks took.

Cheap whatever has run before: counted over small indexes, and over one short index range.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.db.models import GONE_TENANT_ID, TERMINAL_STATES, Chunk, ChunkState, Job, JobState
from core.db.waiting import dependency_of

DEPENDENCIES = ("serving", "storage", "database", "broker", "worker", "source")  # what a job can wait for
SAMPLE = 128  # chunks
_LEAST_PROCESSES = 0.01
RECENT = timedelta(minutes=5)  # how old they may be to say anything about the present


@dataclass(frozen=True, slots=True)
class Backlog:
    """What is there to do. A scaler needs both parts: a backlog alone would scale a fleet to zero with work in flight."""

    jobs: dict[str, int]  # by state, every state present
    items_pending: int  # items of started jobs that no worker holds
    items_in_flight: int  # items that a worker holds
    oldest_queued_at: float | None  # seconds since 1970
    chunks_running: int = 0  # chunks that a worker holds, one for each process at work
    unlisted_archives: int = 0  # jobs whose items nobody has counted yet
    unlisted_images: int = 0  # as above, of a single image each
    deleted_jobs: int = 0  # of which there are rows that have not gone yet
    jobs_waiting: dict[str, int] = field(default_factory=dict)  # unfinished jobs, by the dependency they wait for
    stalest_progress_at: float | None = None  # of the running job that has stood still for longest, seconds since 1970


def read_backlog(session: Session) -> Backlog:
    """The present backlog."""
    jobs, deleted = _count_jobs(session)
    live = [state for state in JobState if state not in TERMINAL_STATES]
    remaining = session.scalar(select(func.sum(Job.remaining)).where(Job.state.in_(live))) or 0
    held = session.execute(select(Chunk.item_count, Chunk.picked).where(Chunk.state == ChunkState.RUNNING)).all()
    in_flight = sum(count if picked is None else len(picked) for count, picked in held)
    oldest = session.scalar(select(func.min(Job.created_at)).where(Job.state == JobState.QUEUED))
    stalest = session.scalar(
        select(func.min(func.coalesce(Job.progress_at, Job.running_at))).where(Job.state == JobState.RUNNING)
    )
    unlisted = _count_unlisted(session)
    return Backlog(
        jobs=jobs,
        deleted_jobs=deleted,
        items_pending=max(0, remaining - in_flight),
        items_in_flight=in_flight,
        oldest_queued_at=oldest.timestamp() if oldest else None,
        chunks_running=len(held),
        unlisted_archives=unlisted.get(False, 0),
        unlisted_images=unlisted.get(True, 0),
        jobs_waiting=_count_waiting(session, live),
        stalest_progress_at=stalest.timestamp() if stalest else None,
    )


def _count_jobs(session: Session) -> tuple[dict[str, int], int]:
    """By state, without the deleted ones, and how many those are.

    All are counted over one index. The deleted ones, few and found by their tenant, are taken off.
    """
    query = select(Job.state, func.count()).group_by(Job.state)
    jobs = dict.fromkeys(map(str, JobState), 0) | {str(state): count for state, count in session.execute(query)}
    deleted = {str(state): count for state, count in session.execute(query.where(Job.tenant_id == GONE_TENANT_ID))}
    return {state: count - deleted.get(state, 0) for state, count in jobs.items()}, sum(deleted.values())


def _count_unlisted(session: Session) -> dict[bool, int]:
    """Jobs without a list of items, by whether they are of a single image."""
    rows = session.execute(
        select(Job.interactive, func.count())
        .where(Job.state.in_((JobState.QUEUED, JobState.PREPARING)))
        .group_by(Job.interactive)
    ).all()
    return {row.interactive: row[1] for row in rows}


def _count_waiting(session: Session, live: list[JobState]) -> dict[str, int]:
    """A job's `waiting_for` begins with the name of what is away."""
    texts = session.scalars(select(Job.waiting_for).where(Job.state.in_(live), Job.waiting_for.is_not(None))).all()
    found = Counter(dependency_of(text) for text in texts)
    return dict.fromkeys(DEPENDENCIES, 0) | {name: found[name] for name in DEPENDENCIES}


@dataclass(frozen=True, slots=True)
class Throughput:
    """A worker process's time for one item, and how much of it was waiting."""

    item_s: float
    serving_share: float  # waiting for Serving, 0 to 1
    core_share: float  # ready to run, with no core free, 0 to 1
    processes: float  # busy on average between the first claim and the last commit of the recent chunks
    is_recent: bool


@dataclass(frozen=True, slots=True)
class Run:
    """One chunk's last run."""

    started_at: datetime
    finished_at: datetime
    items: int
    waited_s: float
    starved_s: float

    @property
    def busy_s(self) -> float:
        return max(0.0, (self.finished_at - self.started_at).total_seconds())


def read_throughput(session: Session, now: datetime) -> Throughput | None:
    """Over the newest chunks, of archives if there are any: single images have another cost. None if nothing has run."""
    rows = _newest_runs(session)
    runs = [_run(row) for row in rows if not row.interactive] or [_run(row) for row in rows]
    return summarise(runs, now)


def read_queue_seconds(session: Session, now: datetime, archive_items: int) -> float | None:
    """How long the workers have to do with all there is: seconds, at the pace of the newest chunks.

    Args:
        session: a reading transaction.
        now: the present.
        archive_items: what a job that nobody has listed yet counts for.

    Returns:
        None where nothing has run, so that the pace is unknown.
    """
    to_run = (JobState.QUEUED, JobState.PREPARING, JobState.RUNNING)
    items = session.scalar(select(func.sum(Job.remaining)).where(Job.state.in_(to_run))) or 0
    unlisted = _count_unlisted(session)
    items += unlisted.get(False, 0) * archive_items + unlisted.get(True, 0)
    throughput = read_throughput(session, now) if items else None
    if throughput is None:
        return 0.0 if not items else None
    return float(items * throughput.item_s / max(throughput.processes, _LEAST_PROCESSES))


def read_item_seconds(session: Session, model: str, version: int, least: int) -> float | None:
    """Seconds that one process took for one item of an archive, over the newest chunks, without those in which it had no core.

    With them, chunks would be the smaller the busier the machine is, and the bookkeeping of each costs the same.

    Args:
        session: a reading transaction.
        model: of the jobs.
        version: of the jobs.
        least: items of a run that counts: in short ones what a chunk costs by itself outweighs the items.

    Returns:
        None if no such run was of this version.
    """
    rows = _newest_runs(session)
    runs = [_run(row) for row in rows if not row.interactive and (row.model, row.version) == (model, version)]
    runs = [run for run in runs if run.items >= least]
    items, worked_s = sum(run.items for run in runs), sum(max(0.0, run.busy_s - run.starved_s) for run in runs)
    return worked_s / items if items and worked_s else None


def _newest_runs(session: Session) -> Sequence[Any]:
    newest = (
        select(Chunk.job_id, Chunk.chunk_no)
        .where(Chunk.finished_at.is_not(None))
        .order_by(Chunk.finished_at.desc())
        .limit(SAMPLE)
        .subquery()
    )
    return session.execute(
        select(
            Job.interactive,
            Job.model,
            Job.version,
            Chunk.started_at,
            Chunk.finished_at,
            Chunk.item_count,
            Chunk.picked,
            Chunk.waited_s,
            Chunk.starved_s,
        )
        .join(newest, (Chunk.job_id == newest.c.job_id) & (Chunk.chunk_no == newest.c.chunk_no))
        .join(Job, Job.id == Chunk.job_id)
        .where(Chunk.state == ChunkState.DONE, Chunk.started_at.is_not(None))
    ).all()


def summarise(runs: Sequence[Run], now: datetime) -> Throughput | None:
    """Add up; None if there is nothing to add up."""
    items, busy_s = sum(run.items for run in runs), sum(run.busy_s for run in runs)
    if not items or not busy_s:
        return None
    last = max(run.finished_at for run in runs)
    recent = [run for run in runs if run.finished_at >= last - RECENT]
    span_s = (last - min(run.started_at for run in recent)).total_seconds()
    return Throughput(
        item_s=busy_s / items,
        serving_share=min(1.0, sum(run.waited_s for run in runs) / busy_s),
        core_share=min(1.0, sum(run.starved_s for run in runs) / busy_s),
        processes=sum(run.busy_s for run in recent) / span_s,
        is_recent=last >= now - RECENT,
    )


def _run(row: Any) -> Run:
    return Run(
        started_at=row.started_at,
        finished_at=row.finished_at,
        items=row.item_count if row.picked is None else len(row.picked),
        waited_s=row.waited_s or 0.0,
        starved_s=row.starved_s or 0.0,
    )
