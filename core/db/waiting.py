"""What an unfinished job waits for (a dependency, a colon, a sentence), since when, and when it is tried again."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import case, exists, literal, select, update
from sqlalchemy.orm import Session

from core.db.models import TERMINAL_STATES, Job, JobState, UtcDateTime

SILENT = "{}: it does not answer; the job goes on when it is back"
NOT_WAITING: dict[str, Any] = {"waiting_for": None, "waiting_since": None, "waiting_until": None}
_UNFINISHED = [state for state in JobState if state not in TERMINAL_STATES]


def waits(text: str, now: datetime, until: datetime | None = None) -> dict[str, Any]:
    """Values of an UPDATE of jobs. Since when is kept while the dependency is the same.

    Args:
        text: dependency, colon, sentence.
        now: the present.
        until: when it is tried again; None where nobody knows.
    """
    goes_on = Job.waiting_for.startswith(f"{dependency_of(text)}:", autoescape=True) & Job.waiting_since.is_not(None)
    return {
        "waiting_for": text,
        "waiting_since": case((goes_on, Job.waiting_since), else_=literal(now, UtcDateTime())),
        "waiting_until": literal(until, UtcDateTime()),
    }


def dependency_of(text: str | None) -> str:
    """Its name; empty if the job waits for nothing."""
    return (text or "").partition(":")[0]


def note_waiting(session: Session, job_id: uuid.UUID, text: str, now: datetime) -> None:
    """Say on a job which dependency is unavailable; cleared when it moves again. A job that has ended waits for nothing."""
    session.execute(
        update(Job)
        .where(Job.id == job_id, Job.state.not_in(TERMINAL_STATES), Job.waiting_for.is_distinct_from(text))
        .values(**waits(text, now), revision=Job.revision + 1),
        execution_options={"synchronize_session": False},
    )


def note_all_waiting(session: Session, text: str, now: datetime) -> None:
    """Say it on each unfinished job that says nothing yet: whoever knows more about a job has said so."""
    session.execute(
        update(Job)
        .where(Job.state.in_(_UNFINISHED), Job.waiting_for.is_(None))
        .values(**waits(text, now), revision=Job.revision + 1),
        execution_options={"synchronize_session": False},
    )


def end_all_waiting(session: Session, text: str) -> None:
    """The dependency is back: take away what `note_all_waiting` said, and nothing else."""
    session.execute(
        update(Job).where(Job.state.in_(_UNFINISHED), Job.waiting_for == text).values(**NOT_WAITING, revision=Job.revision + 1),
        execution_options={"synchronize_session": False},
    )


def any_unfinished(session: Session, *, text: str | None) -> bool:
    """Whether an unfinished job says just this; None: says nothing."""
    says = Job.waiting_for.is_(None) if text is None else Job.waiting_for == text
    return bool(session.scalar(select(exists().where(Job.state.in_(_UNFINISHED), says))))
