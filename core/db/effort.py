"""What the newest finished chunks took: the measure for what is still to do. Costs one short index range, whatever has run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.db.models import Chunk, ChunkState, Job

SAMPLE = 128  # chunks
RECENT = timedelta(minutes=5)  # how old they may be to say anything about the present


@dataclass(frozen=True, slots=True)
class Effort:
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


def read_effort(session: Session, now: datetime) -> Effort | None:
    """Over the newest chunks, of archives if there are any: single images have another cost. None if nothing has run."""
    newest = (
        select(Chunk.job_id, Chunk.chunk_no)
        .where(Chunk.finished_at.is_not(None))
        .order_by(Chunk.finished_at.desc())
        .limit(SAMPLE)
        .subquery()
    )
    rows = session.execute(
        select(
            Job.interactive,
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
    runs = [_run(row) for row in rows if not row.interactive] or [_run(row) for row in rows]
    return summarise(runs, now)


def summarise(runs: Sequence[Run], now: datetime) -> Effort | None:
    """Add up; None if there is nothing to add up."""
    items, busy_s = sum(run.items for run in runs), sum(run.busy_s for run in runs)
    if not items or not busy_s:
        return None
    last = max(run.finished_at for run in runs)
    recent = [run for run in runs if run.finished_at >= last - RECENT]
    span_s = (last - min(run.started_at for run in recent)).total_seconds()
    return Effort(
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
