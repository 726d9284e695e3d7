"""Sends wake-up messages again that were lost or are due."""

from __future__ import annotations

import uuid
from functools import partial

from redis.exceptions import RedisError

from core.brokerclient import open_redis
from core.db.engine import transaction
from core.db.maintenance import republish
from core.messages import QUEUE_BULK, QUEUE_INTERACTIVE, Message
from core.telemetry.logs import get_logger
from worker.context import WorkerContext
from worker.maintenance.sending import send
from worker.telemetry import metrics

log = get_logger(__name__)


def publish_due_jobs(context: WorkerContext) -> None:
    """Jobs that wait to be prepared and are due."""
    with transaction(context.engine) as session:
        messages = republish.publish_due_jobs(session, context.window, context.clock.now())
    send(context, "due_jobs", messages)


def wake_idle(context: WorkerContext) -> None:
    """Chunks that can be claimed while no message about chunks waits in the queues."""
    queued = count_messages(context)
    with transaction(context.engine) as session:
        messages = republish.wake_idle(
            session, context.window, context.clock.now(), queued=queued, observed_since=context.presence.since
        )
    send(context, "republished_chunks", messages)


def top_up_jobs(context: WorkerContext) -> None:
    """Settle jobs that are complete, and go on with retries that were left."""
    send(context, "topped_up", republish.walk_pages(partial(_top_up_page, context)))


def _top_up_page(context: WorkerContext, after: uuid.UUID | None) -> tuple[list[Message], uuid.UUID | None]:
    with transaction(context.engine) as session:
        return republish.top_up_jobs(session, context.window, context.clock.now(), after)


def count_messages(context: WorkerContext) -> int | None:
    """Messages about chunks that wait in the queues; None if the broker does not answer."""
    broker = context.settings.broker
    try:
        with open_redis(broker, broker.socket_timeout_s) as redis:
            return sum(int(redis.llen(broker.key_prefix + queue)) for queue in (QUEUE_INTERACTIVE, QUEUE_BULK))
    except RedisError as error:
        metrics.DEPENDENCY_ERRORS.add("broker")
        log.warning("broker_away", error=str(error))
        return None
