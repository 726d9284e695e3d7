"""The audit of model versions, and the jobs that need one, on both databases."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import Engine

from core.clock import SystemClock
from core.db.engine import reading, transaction
from core.db.jobs import NewJob, create_job
from core.db.models import LOCAL_TENANT_ID, JobState
from core.db.versions import (
    ModelAction,
    ModelOutcome,
    NewEvent,
    find_label_moves,
    find_pinned_jobs,
    last_promotions,
    list_events,
    record_event,
)

NOW = SystemClock().now()


def add_job(engine: Engine, model: str = "m", requested_version: int | None = None, **values: Any) -> uuid.UUID:
    new = NewJob(LOCAL_TENANT_ID, "a", {"kind": "path", "path": "/a"}, model, version=requested_version)
    with transaction(engine) as session:
        job = create_job(session, new, NOW)
        for name, value in values.items():
            setattr(job, name, value)
    return job.id


def test_events_are_kept_in_order_and_refusals_move_nothing(engine: Engine) -> None:
    done = NewEvent("ada", ModelAction.PROMOTE, "m", 2, "stable", previous=1)
    with transaction(engine) as session:
        record_event(session, done, NOW)
        record_event(session, NewEvent("bob", ModelAction.PROMOTE, "m", 3, "stable", outcome=ModelOutcome.REFUSED), NOW)
        record_event(session, NewEvent("bob", ModelAction.PROMOTE, "m", 4, "canary", detail="nul \x00"), NOW)
        record_event(session, NewEvent("bob", ModelAction.PROMOTE, "other", 2, "stable"), NOW)
        record_event(session, NewEvent("eve", ModelAction.RETIRE, "m", 1), NOW)
    with reading(engine) as session:
        assert [(event.action, event.version) for event in list_events(session, "m")] == [
            *(("retire", 1), ("promote", 4), ("promote", 3), ("promote", 2)),
        ]
        assert [event.version for event in find_label_moves(session, "m", "stable")] == [2]
        promoted = last_promotions(session, "m")
        assert {version: (event.actor, event.at) for version, event in promoted.items()} == {2: ("ada", NOW), 4: ("bob", NOW)}
        assert promoted[4].detail == "nul \\x00"


def test_who_needs_a_version(engine: Engine) -> None:
    needing = [
        add_job(engine, state=JobState.RUNNING, version=2),
        add_job(engine, state=JobState.CANCELLING, version=2),
        add_job(engine, requested_version=2),
        add_job(engine, requested_version=2, state=JobState.PREPARING),
        add_job(engine, state=JobState.PREPARING),
    ]
    add_job(engine)  # it will ask for a label, which the version does not bear
    add_job(engine, state=JobState.RUNNING, version=1)
    add_job(engine, requested_version=1, state=JobState.PREPARING)
    add_job(engine, state=JobState.SUCCEEDED, version=2)
    add_job(engine, state=JobState.FAILED, requested_version=2)
    add_job(engine, "other", state=JobState.RUNNING, version=2)
    with reading(engine) as session:
        assert {job.id for job in find_pinned_jobs(session, "m", 2)} == set(needing)
        assert len(find_pinned_jobs(session, "m", 2, limit=3)) == 3
        assert find_pinned_jobs(session, "gone", 2) == []
