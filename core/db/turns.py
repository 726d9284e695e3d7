"""Whose turn it is: which chunk of which job a worker process takes next. Decided here, in SQL, and by no queue's order.

A job's `turn` grows by the seconds that worker processes have spent on it, divided by its weight (priority 0, 1, 2 → 0.5, 1,
2). The running job with the least turn is next. So jobs of one priority get the same time, whatever their number of chunks.

- A job enters at the turn of the job that is next, less HEAD_START_S; its first seconds of work use the head start up. So a
  small job is next when it comes, behind any number of large ones, and those that came before it go before it.
- A chunk in work counts QUANTUM_S before it is done, so that processes which claim at the same moment share themselves out.
- A job that somebody waits for (`interactive`) is before all others.

Start-time fair queueing (Goyal, Vin, Cheng 1996), with a head start. Where jobs of several tenants run, the tenant is chosen
first (core.db.tenantturns), then the job among its own.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Float,
    Select,
    Subquery,
    Uuid,
    bindparam,
    case,
    exists,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.orm import Session

from core.db.models import Chunk, ChunkState, Job, JobState, UtcDateTime
from core.db.tenantturns import is_anothers_turn, several_tenants, tenants_in_turn

QUANTUM_S = 0.5  # by how much a job may be ahead of another before a process changes over
HEAD_START_S = 2.0
FRESH = timedelta(seconds=5)  # how old a job may be whose prepare is waited for: later its message is taken as lost
WEIGHTS = {0: 0.5, 1: 1.0, 2: 2.0}  # by priority

_INTERACTIVE_TURN = -1e12
_NOW = bindparam("now", type_=UtcDateTime())
_AT_JOB = bindparam("at_job", type_=Uuid())
_AT_TENANT = bindparam("at_tenant", type_=Uuid())
_CANDIDATES = 64  # jobs looked at in the order of their stored turns: more than jobs that processes hold chunks of


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a process sees that looks up from its chunk."""

    wanted: bool  # the chunk's job still runs
    gives_way: bool = False  # it is another job's turn, by a whole quantum
    prepare_waits: bool = False  # a new job waits to be prepared
    alone: bool = False  # no other job has a chunk to be taken: until somebody writes, only the end of a wait changes that


def enter_turns(session: Session, job: Job) -> None:
    """Give a job that starts to run, for the first time or again, its place. The caller holds its row lock."""
    leader = session.execute(
        select(Job.turn, Job.served_s)
        .where(Job.state == JobState.RUNNING, Job.id != job.id, Job.turn > _INTERACTIVE_TURN / 2)
        .order_by(Job.turn, Job.id)
        .limit(1)
    ).first()
    present = leader.turn + max(0.0, HEAD_START_S - leader.served_s) if leader else 0.0
    job.served_s = 0.0
    job.turn = _INTERACTIVE_TURN if job.interactive else present - HEAD_START_S


def charge(seconds: float | ColumnElement[Any], jobs: Any = Job) -> dict[str, Any]:
    """Values of an UPDATE of jobs: so much work was done for it, in seconds of one process, at least 0."""
    spent = literal(seconds) if isinstance(seconds, float) else seconds
    return {"turn": jobs.turn + _advance(spent, jobs), "served_s": jobs.served_s + spent}


def charge_job(job: Job, seconds: float) -> None:
    """The same for a job whose row lock the caller holds."""
    head = max(0.0, HEAD_START_S - job.served_s)
    job.turn += seconds / WEIGHTS.get(job.priority, 1.0) + min(seconds, head)
    job.served_s += seconds


def first_claimable(now: datetime | BindParameter[datetime], job_id: Any) -> Select[int]:
    """The number of the first chunk of a job that a process may take."""
    return (
        select(Chunk.chunk_no)
        .where(
            Chunk.job_id == job_id,
            Chunk.state == ChunkState.PENDING,
            or_(Chunk.due_at.is_(None), Chunk.due_at <= now),
        )
        .order_by(Chunk.chunk_no)
        .limit(1)
    )


def jobs_in_turn(
    now: datetime | BindParameter[datetime], tenant_id: BindParameter[uuid.UUID] | None = None
) -> Select[uuid.UUID]:
    """Ids of the running jobs that have a claimable chunk, whose turn it is first; of one tenant or of all."""
    jobs = _candidates(now, tenant_id=tenant_id)
    return _in_turn(jobs, select(jobs.c.id))


def _claimable() -> Select[Any]:
    """The same, with whose they are, and whether jobs of more than one tenant run."""
    jobs = _candidates(_NOW)
    return _in_turn(jobs, select(jobs.c.id, jobs.c.tenant_id, jobs.c.turn, several_tenants().label("several")))


def _in_turn(jobs: Subquery, columns: Select[Any]) -> Select[Any]:
    held = _held_chunks()
    standing = _standing(jobs, QUANTUM_S * func.coalesce(held.c.chunks, 0))
    return columns.outerjoin(held, held.c.job_id == jobs.c.id).order_by(standing, jobs.c.id)


def next_chunk(session: Session, now: datetime) -> tuple[uuid.UUID, int] | None:
    """Job and number of the chunk whose turn it is, locked; None if there is none. Rows that others hold are passed over."""
    rows = session.execute(_CLAIMABLE, {"now": now}).all()
    if not rows or not rows[0].several:
        return _take_first(session, now, [row.id for row in rows])
    for tenant_id in tenants_in_turn(session, now, urgent=[row.tenant_id for row in rows if row.turn < _INTERACTIVE_TURN / 2]):
        job_ids = session.scalars(_JOBS_OF_TENANT, {"now": now, "at_tenant": tenant_id}).all()
        if (taken := _take_first(session, now, job_ids)) is not None:
            return taken
    return None


def _take_first(session: Session, now: datetime, job_ids: Sequence[uuid.UUID]) -> tuple[uuid.UUID, int] | None:
    for job_id in job_ids:
        number = session.scalar(_TAKE_FIRST, {"now": now, "at_job": job_id})
        if number is not None:
            return job_id, number
    return None


def any_claimable(session: Session, now: datetime) -> bool:
    """Whether a process that asked now would get a chunk."""
    return session.scalar(_ANY_IN_TURN, {"now": now}) is not None


def look_around(session: Session, job_id: uuid.UUID, busy_s: float, now: datetime) -> Outlook:
    """Whether a process shall go on with its chunk. One statement, or two where jobs of several tenants run.

    Args:
        session: a reading transaction.
        job_id: whose chunk it has.
        busy_s: for how long it has worked on it, seconds.
        now: the present.
    """
    given = {"now": now, "at_job": job_id, "busy_s": busy_s, "fresh_from": now - FRESH}
    rows = session.execute(_LOOK_AROUND, given).all()
    if not rows or rows[0].id != job_id:
        return Outlook(wanted=False)
    mine = rows[0]
    gives_way = len(rows) > 1 and rows[1].tenant_id == mine.tenant_id and rows[1].standing + QUANTUM_S <= mine.standing
    if mine.several and not gives_way:
        gives_way = is_anothers_turn(session, now, mine.tenant_id, busy_s)
    prepare_waits = bool(mine.prepare_waits)
    alone = len(rows) == 1 and not mine.several and not prepare_waits
    return Outlook(wanted=True, gives_way=gives_way, prepare_waits=prepare_waits, alone=alone)


def _prepare_waits() -> ColumnElement[bool]:
    """Whether a new job waits for a process that prepares it, and its message is on its way."""
    return exists().where(Job.state == JobState.QUEUED, Job.waits == 0, Job.created_at > bindparam("fresh_from"))


def _mine_and_the_next() -> Select[Any]:
    """The job that a process works for, if it still runs, then the one of its tenant whose turn it is; see `look_around`."""
    jobs, held = _candidates(_NOW, also=_AT_JOB), _held_chunks()
    is_mine = jobs.c.id == _AT_JOB
    is_own = jobs.c.tenant_id == select(Job.tenant_id).where(Job.id == _AT_JOB).scalar_subquery()
    others_s = QUANTUM_S * func.coalesce(held.c.chunks, 0)
    held_s = case((is_mine, others_s - QUANTUM_S + bindparam("busy_s", type_=Float(53))), else_=others_s)
    standing = _standing(jobs, held_s)
    return (
        select(
            *(jobs.c.id, jobs.c.tenant_id, standing.label("standing"), _prepare_waits().label("prepare_waits")),
            several_tenants().label("several"),
        )
        .outerjoin(held, held.c.job_id == jobs.c.id)
        .order_by(is_mine.desc(), is_own.desc(), standing, jobs.c.id)
        .limit(2)
    )


def catch_up(session: Session, job: Job, now: datetime) -> None:
    """A job that has nothing to be taken now (all of it backs off) saves up no turns. The caller holds its row lock."""
    is_held = exists().where(Chunk.job_id == job.id, Chunk.state == ChunkState.RUNNING)
    if session.scalar(select(is_held)) or session.scalar(first_claimable(now, job.id)) is not None:
        return
    at_work = select(Chunk.job_id).where(Chunk.state == ChunkState.RUNNING)
    present = session.scalar(select(func.min(Job.turn)).where(Job.id.in_(at_work), Job.turn > _INTERACTIVE_TURN / 2))
    if present is not None and not job.interactive:
        job.turn = max(job.turn, present)


def _candidates(
    now: datetime | BindParameter[datetime],
    also: BindParameter[uuid.UUID] | None = None,
    tenant_id: BindParameter[uuid.UUID] | None = None,
) -> Subquery:
    """The running jobs with the least stored turns that have a claimable chunk; and one job whether it has or not."""
    claimable = first_claimable(now, Job.id).correlate(Job).scalar_subquery().is_not(None)
    columns = select(Job.id, Job.tenant_id, Job.turn, Job.served_s, Job.priority)
    chosen = columns.where(Job.state == JobState.RUNNING, claimable).order_by(Job.turn, Job.id).limit(_CANDIDATES)
    if tenant_id is not None:
        chosen = chosen.where(Job.tenant_id == tenant_id)
    if also is None:
        return chosen.subquery("candidates")
    mine = columns.where(Job.state == JobState.RUNNING, Job.id == also)
    others = select(chosen.where(Job.id != also).subquery("others"))
    return others.union_all(mine).subquery("candidates")


def _held_chunks() -> Subquery:
    """Chunks that processes work on, by job: few rows."""
    counted = select(Chunk.job_id, func.count().label("chunks")).where(Chunk.state == ChunkState.RUNNING)
    return counted.group_by(Chunk.job_id).subquery("held")


def _standing(jobs: Subquery, held_s: ColumnElement[Any]) -> ColumnElement[Any]:
    """The turn that a job would have if the chunks in work were done: they count `held_s` in all."""
    return jobs.c.turn + _advance(held_s, jobs.c)


def _advance(seconds: ColumnElement[Any], jobs: Any) -> ColumnElement[Any]:
    """By how much a turn grows: the work by weight, and what it takes of the head start."""
    head = case((jobs.served_s < HEAD_START_S, HEAD_START_S - jobs.served_s), else_=0.0)
    return seconds / case(WEIGHTS, value=jobs.priority, else_=1.0) + case((seconds < head, seconds), else_=head)


# Built once: to build one of them anew takes more CPU time than to run it (core.db.statements).
_JOBS_IN_TURN = jobs_in_turn(_NOW)
_ANY_IN_TURN = _JOBS_IN_TURN.limit(1)
_JOBS_OF_TENANT = jobs_in_turn(_NOW, _AT_TENANT)
_CLAIMABLE = _claimable()
_TAKE_FIRST = first_claimable(_NOW, _AT_JOB).with_for_update(skip_locked=True)
_LOOK_AROUND = _mine_and_the_next()
