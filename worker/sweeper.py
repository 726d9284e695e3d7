"""The sweeper: every few seconds it finds what was lost and mends it. Safe to run twice, and in several workers at once."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from datetime import timedelta
from functools import partial

from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy.orm import Session

from core.db import sweeping
from core.db.engine import reading, transaction
from core.db.sweeping import Rescue
from core.logs import get_logger
from core.messages import QUEUES, Message
from worker import metrics
from worker.context import WorkerContext
from worker.ownership import is_certainly_dead

log = get_logger(__name__)

SETTLING_S = 5.0  # a message is not called lost before it had this long to be taken up


def sweep(context: WorkerContext) -> None:
    """One round. Each step is a transaction of its own, its messages are sent after its commit."""
    _rescue_dead_owners(context)
    rescue = context.rescue
    for name, step in _steps(context, rescue).items():
        with transaction(context.engine) as session:
            messages = step(session)
        if messages:
            log.info("swept", step=name, messages=len(messages))
        _publish(context, name, messages)
    _note_rescues(rescue)
    _publish(context, "topped_up", sweeping.walk_pages(partial(_top_up_page, context)))
    _delete_expired(context)
    metrics.LAST_SWEEP.put(time.time())


def _publish(context: WorkerContext, step: str, messages: list[Message]) -> None:
    metrics.SWEPT_MESSAGES.add(step, amount=len(messages))
    context.publish(messages)


def _note_rescues(rescue: sweeping.RescuePolicy) -> None:
    metrics.CHUNK_CRASHES.add(amount=rescue.done[Rescue.CHUNK_CRASH])
    metrics.CHUNK_SPLITS.add(amount=rescue.done[Rescue.CHUNK_SPLIT])
    metrics.PREPARE_CRASHES.add(amount=rescue.done[Rescue.PREPARE_CRASH])


def _steps(context: WorkerContext, rescue: sweeping.RescuePolicy) -> dict[str, Callable[[Session], list[Message]]]:
    now = context.clock.now()
    lost_since = now - timedelta(seconds=SETTLING_S) if queues_are_empty(context) else None
    return {
        "due_jobs": lambda session: sweeping.publish_due_jobs(session, context.window, now),
        "rescued_prepares": lambda session: sweeping.rescue_prepares(session, rescue, now),
        "rescued_chunks": lambda session: sweeping.rescue_chunks(session, rescue, now),
        "republished_chunks": lambda session: sweeping.republish_chunks(session, context.window, now, lost_since=lost_since),
    }


def _rescue_dead_owners(context: WorkerContext) -> None:
    with reading(context.engine) as session:
        owners = sweeping.list_owners(session)
    for owner in filter(is_certainly_dead, owners):
        rescue = context.rescue
        with transaction(context.engine) as session:
            messages = sweeping.rescue_owned(session, owner, rescue, context.clock.now())
        log.warning("rescued_from_dead_process", owner=owner, messages=len(messages))
        _note_rescues(rescue)
        _publish(context, "dead_owners", messages)


def _top_up_page(context: WorkerContext, after: uuid.UUID | None) -> tuple[list[Message], uuid.UUID | None]:
    with transaction(context.engine) as session:
        return sweeping.top_up_jobs(session, context.window, context.clock.now(), after)


def _delete_expired(context: WorkerContext) -> None:
    with transaction(context.engine) as session:
        prefixes = sweeping.delete_expired_jobs(session, context.clock.now())
    for prefix in prefixes:
        context.storage.delete_prefix(prefix)
    context.storage.remove_orphans()


def queues_are_empty(context: WorkerContext) -> bool:
    """Whether no message waits in any queue, so that what is published but unclaimed must be lost.

    Messages that a worker has taken and not yet started are not in a queue; the settling time covers them.
    """
    broker = context.settings.broker
    try:
        with Redis.from_url(
            broker.full_url,
            socket_timeout=broker.socket_timeout_s,
            socket_connect_timeout=broker.socket_timeout_s,
        ) as redis:
            return not any(redis.llen(queue) for queue in QUEUES)
    except RedisError as error:
        metrics.DEPENDENCY_ERRORS.add("broker")
        log.warning("broker_away", error=str(error))
        return False
