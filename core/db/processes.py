"""The record that worker processes keep of themselves: a row each, renewed while the process runs.

A lease that ran out says that nobody renewed it. It does not say why: the process may have died, or the database was away for
everybody. The record tells the two apart (see `judge`).
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.orm import Session

from core.db.models import TERMINAL_STATES, Job, JobState, Process


class Verdict(StrEnum):
    """What became of the process that let a lease run out."""

    ALIVE = "alive"  # it goes on renewing its record: an outage kept it from this lease
    DEAD = "dead"  # it died or hangs
    OPEN = "open"  # not known yet: ask again at the next sweep


def note_alive(session: Session, owner: str, now: datetime) -> None:
    """Renew a process's record, or begin it."""
    renewed = session.execute(update(Process).where(Process.owner == owner).values(seen_at=now).returning(Process.owner))
    if renewed.first() is None:
        session.execute(insert(Process).values(owner=owner, started_at=now, seen_at=now))


def forget_process(session: Session, owner: str) -> None:
    """End the record of a process that ends in order, or whose death has been dealt with."""
    session.execute(delete(Process).where(Process.owner == owner))


def forget_silent_processes(session: Session, before: datetime) -> None:
    """End the records that nobody has renewed since; call it when nothing is held by them any more."""
    session.execute(delete(Process).where(Process.seen_at < before))


def read_seen(session: Session, owners: Collection[str]) -> dict[str, datetime]:
    """When each of these processes last renewed its record; one without a record is left out."""
    rows = session.execute(select(Process.owner, Process.seen_at).where(Process.owner.in_(owners))).all()
    return {row.owner: row.seen_at for row in rows}


def count_heard(session: Session, since: datetime) -> tuple[int, int]:
    """(worker processes that gave a sign of life since then, jobs that are not finished)."""
    heard = session.scalar(select(func.count()).select_from(Process).where(Process.seen_at >= since)) or 0
    unfinished = [state for state in JobState if state not in TERMINAL_STATES]
    return heard, session.scalar(select(func.count()).select_from(Job).where(Job.state.in_(unfinished))) or 0


def judge(seen_at: datetime | None, observed_since: datetime | None, now: datetime, patience_s: float) -> Verdict:
    """Judge a process whose lease has run out.

    Args:
        seen_at: when it last renewed its record; None if it keeps none (a process of an earlier release).
        observed_since: since when whoever asks has reached the database without a gap; None if that is not known.
        now: the present.
        patience_s: silence that counts as death: that of a lease.
    """
    if seen_at is None:
        return Verdict.DEAD  # its lease was all that was known of it
    patience = timedelta(seconds=patience_s)
    if now - seen_at <= patience:
        return Verdict.ALIVE
    if observed_since is None or now - observed_since < patience:
        return Verdict.OPEN  # the database may have been away for everybody: the others get as long to come back
    return Verdict.DEAD
