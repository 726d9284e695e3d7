"""Takes back what dead or hung processes held, and counts it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy.orm import Session

from core.db.engine import reading, transaction
from core.db.maintenance import due, rescue
from core.db.maintenance.rescue import Rescue, RescuePolicy
from core.db.processes import forget_silent_processes
from core.errors import JobErrorCode
from core.messages import Message
from core.telemetry.logs import get_logger
from worker.context import WorkerContext
from worker.maintenance.sending import send
from worker.ownership import is_certainly_dead
from worker.telemetry import metrics

log = get_logger(__name__)

FORGOTTEN_AFTER_S = 86_400.0  # without a sign of life: whatever the process held was taken from it long before


def rescue_from_dead_processes(context: WorkerContext) -> None:
    """What a process held that is certainly dead, without waiting for its leases."""
    with transaction(context.engine) as session:
        forget_silent_processes(session, context.clock.now() - timedelta(seconds=FORGOTTEN_AFTER_S))
    with reading(context.engine) as session:
        owners = rescue.list_owners(session)
    for owner in filter(is_certainly_dead, owners):
        found = _rescue(context, "dead_owners", partial(_rescue_owned, owner))
        log.warning("rescued_from_dead_process", owner=owner, messages=found)


def pull_in_far_times(context: WorkerContext) -> None:
    """What waits for a time that a wrong clock has written."""
    worker = context.settings.worker
    longest_s = 2 * max(worker.lease_s, worker.republish_s, worker.max_backoff_s, 64 * worker.backoff_s)
    with transaction(context.engine) as session:
        rows = due.pull_in_far_times(session, context.clock.now(), longest_s=longest_s, lease_s=worker.lease_s)
    if rows:
        log.warning("far_times_pulled_in", rows=rows, consequence="a clock was put back: this work waits no longer for it")


def rescue_prepares(context: WorkerContext) -> None:
    """Jobs whose preparing process let its lease run out."""
    _rescue(context, "rescued_prepares", rescue.rescue_prepares)


def rescue_chunks(context: WorkerContext) -> None:
    """Chunks whose process let its lease run out."""
    _rescue(context, "rescued_chunks", rescue.rescue_chunks)


def _rescue(context: WorkerContext, step: str, work: Callable[[Session, RescuePolicy, datetime], list[Message]]) -> int:
    """One transaction of rescues, then its counts and messages; returns how many messages."""
    policy = context.rescue
    with transaction(context.engine) as session:
        messages = work(session, policy, context.clock.now())
    _count(policy)
    send(context, step, messages)
    return len(messages)


def _rescue_owned(owner: str, session: Session, policy: RescuePolicy, now: datetime) -> list[Message]:
    return rescue.rescue_owned(session, owner, policy, now)


def _count(policy: RescuePolicy) -> None:
    """Called after the commit: what was rolled back has not been done."""
    metrics.CHUNK_CRASHES.add(amount=policy.done[Rescue.CHUNK_CRASH])
    metrics.CHUNK_SPLITS.add(amount=policy.done[Rescue.CHUNK_SPLIT])
    metrics.PREPARE_CRASHES.add(amount=policy.done[Rescue.PREPARE_CRASH])
    metrics.JOBS_FAILED.add(JobErrorCode.PREPARE_CRASH, amount=policy.done[Rescue.JOB_FAILED])
