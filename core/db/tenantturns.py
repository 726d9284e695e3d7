"""Whose turn it is between tenants: the one whose jobs have had the least work done lately, by its weight.

What counts is the time that processes worked on chunks which ended in the last SPAN_S, and HELD_S for each chunk in work. So
two tenants that both have work get work by their weights, whatever the number of their jobs; one that has had none lately is
next; and nobody saves up turns while it has nothing to do. No row is written for this: a row of each tenant would be written
at the end of each chunk, by all processes at once.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Float, Select, bindparam, case, func, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from core.db.models import Chunk, ChunkState, Job, JobState, Tenant, UtcDateTime

SPAN_S = 10.0  # about twenty chunks of each process: long enough to compare, and over before a new job has waited for long
HELD_S = 0.5  # about the work of a chunk (core.db.turns.QUANTUM_S)
_CHANGE_S = 0.5  # by how much another tenant must be behind before a process changes over within a chunk


class _Seconds(FunctionElement[float]):
    """Seconds between two instants: (earlier, later)."""

    inherit_cache = True
    type = Float(53)
    name = "seconds_between"


@compiles(_Seconds)
def _by_epoch(element: _Seconds, compiler: SQLCompiler, **options: Any) -> str:
    earlier, later = (compiler.process(each, **options) for each in element.clauses)
    return f"extract(epoch from {later} - {earlier})"


@compiles(_Seconds, "sqlite")
def _by_julian_day(element: _Seconds, compiler: SQLCompiler, **options: Any) -> str:
    earlier, later = (compiler.process(each, **options) for each in element.clauses)
    return f"(julianday({later}) - julianday({earlier})) * 86400.0"


def several_tenants() -> ColumnElement[bool]:
    """Whether jobs of more than one tenant run."""
    two = select(Job.tenant_id).where(Job.state == JobState.RUNNING).distinct().limit(2).subquery("some_tenants")
    return select(func.count() > 1).select_from(two).scalar_subquery()


def tenants_in_turn(session: Session, now: datetime, *, urgent: Collection[uuid.UUID] = ()) -> list[uuid.UUID]:
    """Tenants that have a chunk to be taken, whose turn it is first; those of `urgent`, for whom somebody waits, before all."""
    waiting = [row.tenant_id for row in session.execute(_STANDINGS, _given(now)) if row.waits]
    return sorted(waiting, key=lambda tenant_id: tenant_id not in urgent)


def is_anothers_turn(session: Session, now: datetime, tenant_id: uuid.UUID, busy_s: float) -> bool:
    """Whether a process that has worked `busy_s` seconds on a chunk of a tenant shall leave it to another tenant."""
    rows = session.execute(_STANDINGS, _given(now)).all()
    mine = next((row for row in rows if row.tenant_id == tenant_id), None)
    behind = next((row for row in rows if row.tenant_id != tenant_id and row.waits), None)
    if mine is None or behind is None:
        return False
    standing: float = mine.standing + (busy_s - HELD_S) / mine.weight
    return bool(behind.standing + _CHANGE_S <= standing)


def _given(now: datetime) -> dict[str, object]:
    return {"now": now, "since": now - timedelta(seconds=SPAN_S)}


def _standings() -> Select[Any]:
    """By tenant: seconds of work lately, over its weight; and whether it has a chunk that can be taken."""
    running = select(Job.tenant_id).where(Job.state == JobState.RUNNING).distinct().subquery("running")
    ended = (
        select(Job.tenant_id, func.sum(_Seconds(Chunk.started_at, Chunk.finished_at)).label("work_s"))
        .join(Chunk, Chunk.job_id == Job.id)
        .where(Chunk.finished_at > bindparam("since", type_=UtcDateTime()), Chunk.started_at.is_not(None))
        .group_by(Job.tenant_id)
        .subquery("ended")
    )
    held = (
        select(Job.tenant_id, func.count().label("chunks"))
        .join(Chunk, Chunk.job_id == Job.id)
        .where(Chunk.state == ChunkState.RUNNING)
        .group_by(Job.tenant_id)
        .subquery("held")
    )
    work_s = func.coalesce(ended.c.work_s, 0.0) + HELD_S * func.coalesce(held.c.chunks, 0)
    standing = work_s / Tenant.weight
    return (
        select(running.c.tenant_id, Tenant.weight, standing.label("standing"), _waits(running.c.tenant_id).label("waits"))
        .join(Tenant, Tenant.id == running.c.tenant_id)
        .outerjoin(ended, ended.c.tenant_id == running.c.tenant_id)
        .outerjoin(held, held.c.tenant_id == running.c.tenant_id)
        .order_by(standing, running.c.tenant_id)
    )


def _waits(tenant_id: ColumnElement[uuid.UUID]) -> ColumnElement[bool]:
    now = bindparam("now", type_=UtcDateTime())
    taken = (
        select(Chunk.chunk_no)
        .join(Job, Job.id == Chunk.job_id)
        .where(
            Job.tenant_id == tenant_id,
            Job.state == JobState.RUNNING,
            Chunk.state == ChunkState.PENDING,
            case((Chunk.due_at.is_(None), True), else_=Chunk.due_at <= now),
        )
    )
    return taken.exists()


_STANDINGS = _standings()  # built once: core.db.statements
