"""Who reads a job's pictures now: each page says so every few seconds, and hears of the others."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from core.db.outcomes import insert_ignoring_conflicts
from core.db.review.tables import Presence

PRESENT = timedelta(seconds=30)  # who was not seen for longer is not here
_FORGOTTEN = timedelta(minutes=10)


def note_presence(session: Session, job_id: uuid.UUID, reviewer: str, now: datetime) -> None:
    """Write down that a reader is here. Rows of the job that are long over are dropped."""
    session.execute(delete(Presence).where(Presence.job_id == job_id, Presence.seen_at < now - _FORGOTTEN))
    mine = (Presence.job_id == job_id, Presence.reviewer == reviewer)
    session.execute(insert_ignoring_conflicts(session, Presence).values(job_id=job_id, reviewer=reviewer, seen_at=now))
    session.execute(update(Presence).where(*mine, Presence.seen_at < now).values(seen_at=now))


def read_presences(session: Session, job_id: uuid.UUID, now: datetime) -> Sequence[Presence]:
    """Readers who were seen in the last 30 s, by name."""
    seen = (Presence.job_id == job_id, Presence.seen_at >= now - PRESENT)
    return session.scalars(select(Presence).where(*seen).order_by(Presence.reviewer)).all()
