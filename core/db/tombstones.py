"""What is to be deleted in the object storage, because its rows are gone.

A tombstone is written in the transaction that deletes the rows, so that no crash between the two leaves an object that nobody
knows of. It goes when the objects have gone.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from core.db.jobs import read_progress
from core.db.models import Tombstone
from core.storage.layout import job_prefix

FIRST_WAIT_S = 5.0  # after the first failed try; it doubles
LONGEST_WAIT_S = 3600.0


def bury(session: Session, prefixes: Collection[str], now: datetime) -> None:
    """Mark storage prefixes for deletion, due at once; one that is marked already is due again."""
    for prefix in prefixes:
        session.merge(Tombstone(prefix=prefix, created_at=now, due_at=now, tries=0))
    session.flush()


def bury_if_gone(session: Session, job_id: UUID, now: datetime) -> None:
    """Mark a job's objects for deletion if the job was deleted: whoever prepared it meanwhile has written some anew."""
    if read_progress(session, job_id) is None:
        bury(session, [job_prefix(job_id)], now)


def list_due(session: Session, now: datetime, limit: int) -> Sequence[str]:
    """Prefixes to delete now, the longest due first."""
    query = select(Tombstone.prefix).where(Tombstone.due_at <= now).order_by(Tombstone.due_at).limit(limit)
    return session.scalars(query).all()


def postpone(session: Session, prefix: str, now: datetime) -> None:
    """The storage could not delete it: try again later, each time after twice as long."""
    tombstone = session.get(Tombstone, prefix, with_for_update=True)
    if tombstone is not None:
        wait_s = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0**tombstone.tries)
        tombstone.tries += 1
        tombstone.due_at = now + timedelta(seconds=wait_s)


def remove(session: Session, prefixes: Collection[str]) -> None:
    """Their objects are gone."""
    session.execute(delete(Tombstone).where(Tombstone.prefix.in_(prefixes)))
