"""Model versions as the ledger knows them: who moved which label when, and which jobs need a version to stay."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from core.db.models import TERMINAL_STATES, Job, JobState, ModelEvent
from core.db.webhooks.outbox import emit
from core.webhooks import EventType


class ModelAction(StrEnum):
    """What was asked for."""

    ADD = "add"  # a version was published
    VERIFY = "verify"  # a version was looked at
    PROMOTE = "promote"  # a label was put on a version
    ROLLBACK = "rollback"  # a label was put back
    UNLABEL = "unlabel"  # a label was taken away
    RETIRE = "retire"  # a version was unloaded


class ModelOutcome(StrEnum):
    """What came of it."""

    DONE = "done"
    REFUSED = "refused"  # everything is as it was before


_EVENTS = {
    ModelAction.PROMOTE: EventType.MODEL_PROMOTED,
    ModelAction.ROLLBACK: EventType.MODEL_ROLLED_BACK,
    ModelAction.UNLABEL: EventType.MODEL_UNLABELLED,
    ModelAction.RETIRE: EventType.MODEL_RETIRED,
}
MOVES = (ModelAction.PROMOTE, ModelAction.ROLLBACK, ModelAction.UNLABEL)


@dataclass(frozen=True, slots=True)
class NewEvent:
    """One audit record."""

    actor: str
    action: ModelAction
    model: str
    version: int | None = None
    label: str | None = None
    previous: int | None = None  # the version that bore the label before
    outcome: ModelOutcome = ModelOutcome.DONE
    detail: str = ""


@dataclass(frozen=True, slots=True)
class PinnedJob:
    """A job that has not ended and needs a version, or may turn out to."""

    id: uuid.UUID
    name: str
    state: str
    remaining: int


def record_event(session: Session, event: NewEvent, now: datetime) -> ModelEvent:
    """Add an audit record, and tell webhooks of a move; records are never changed or removed."""
    row = ModelEvent(
        at=now,
        actor=event.actor,
        action=event.action,
        model=event.model,
        version=event.version,
        label=event.label,
        previous=event.previous,
        outcome=event.outcome,
        detail=event.detail.replace("\x00", "\\x00"),
    )
    session.add(row)
    session.flush()
    if event.outcome == ModelOutcome.DONE and event.action in _EVENTS:
        said = {"model": event.model, "version": event.version, "label": event.label, "previous": event.previous}
        emit(session, _EVENTS[event.action], said, now)
    return row


def list_events(session: Session, model: str, *, limit: int = 100) -> Sequence[ModelEvent]:
    """A model's records, newest first."""
    return session.scalars(
        select(ModelEvent).where(ModelEvent.model == model).order_by(ModelEvent.id.desc()).limit(limit)
    ).all()


def find_label_moves(session: Session, model: str, label: str) -> Sequence[ModelEvent]:
    """The moves of a label that took place, oldest first."""
    return session.scalars(
        select(ModelEvent)
        .where(
            ModelEvent.model == model,
            ModelEvent.label == label,
            ModelEvent.outcome == ModelOutcome.DONE,
            ModelEvent.action.in_(MOVES),
        )
        .order_by(ModelEvent.id)
    ).all()


def last_promotions(session: Session, model: str) -> dict[int, ModelEvent]:
    """For each version the last time that a label was put on it."""
    rows = session.scalars(
        select(ModelEvent)
        .where(
            ModelEvent.model == model,
            ModelEvent.outcome == ModelOutcome.DONE,
            ModelEvent.action.in_((ModelAction.PROMOTE, ModelAction.ROLLBACK)),
            ModelEvent.version.is_not(None),
        )
        .order_by(ModelEvent.id)
    )
    return {row.version: row for row in rows if row.version is not None}


def promoted_models(session: Session) -> list[str]:
    """The models of which some version was ever promoted, by name."""
    done = (ModelEvent.outcome == ModelOutcome.DONE, ModelEvent.action == ModelAction.PROMOTE)
    return list(session.scalars(select(ModelEvent.model).where(*done).distinct().order_by(ModelEvent.model)))


def version_before(moves: Iterable[ModelEvent], current: int | None) -> int | None:
    """The version to which a rollback leads: each rollback goes one promotion further back, so two never go to and fro.

    Args:
        moves: of one label, oldest first.
        current: the version that bears the label now; if nobody recorded how it got there, the last recorded one is before it.
    """
    trail: list[int] = []
    for move in moves:
        if move.previous is not None and (not trail or trail[-1] != move.previous):
            trail.append(move.previous)
        if move.action == ModelAction.ROLLBACK:
            trail.pop()
        if move.version is not None and (not trail or trail[-1] != move.version):
            trail.append(move.version)
    if trail and trail[-1] == current:
        trail.pop()
    return trail[-1] if trail else None


def find_pinned_jobs(session: Session, model: str, version: int, *, limit: int = 20) -> list[PinnedJob]:
    """Jobs that need the version: pinned to it, or waiting to be; oldest first.

    A job that is being prepared may use a version that its row does not name yet: it counts until its row does.
    """
    undecided = Job.version.is_(None)
    waiting = and_(undecided, Job.requested_version == version)
    preparing = and_(undecided, Job.state == JobState.PREPARING, Job.requested_version.is_(None))
    rows = session.execute(
        select(Job.id, Job.name, Job.state, Job.remaining)
        .where(Job.model == model, Job.state.not_in(TERMINAL_STATES), or_(Job.version == version, waiting, preparing))
        .order_by(Job.id)
        .limit(limit)
    )
    return [PinnedJob(*row) for row in rows]
