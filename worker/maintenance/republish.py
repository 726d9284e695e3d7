"""Sends wake-up messages again that were lost, are due, or find room in their job's window."""

from __future__ import annotations

import uuid
from datetime import timedelta
from functools import partial

from redis import Redis
from redis.exceptions import RedisError

from core.db.engine import transaction
from core.db.maintenance import republish
from core.messages import QUEUES, Message
from core.telemetry.logs import get_logger
from worker.context import WorkerContext
from worker.maintenance.sending import send
from worker.telemetry import metrics

log = get_logger(__name__)

SETTLING_S = 5.0  # a message is not called lost before it had this long to be taken up


def publish_due_jobs(context: WorkerContext) -> None:
    """Jobs that wait to be prepared and are due."""
    with transaction(context.engine) as session:
        messages = republish.publish_due_jobs(session, context.window, context.clock.now())
    send(context, "due_jobs", messages)


def republish_chunks(context: WorkerContext) -> None:
    """Chunks whose message nobody took in time; all of them at once where the broker's queues are empty."""
    now = context.clock.now()
    queued = count_messages(context)
    lost_since = now - timedelta(seconds=SETTLING_S) if queued == 0 else None
    with transaction(context.engine) as session:
        messages = republish.republish_chunks(session, context.window, now, lost_since=lost_since, queued=queued)
    send(context, "republished_chunks", messages)


def top_up_windows(context: WorkerContext) -> None:
    """Settle jobs that are complete, and fill the windows of the others."""
    send(context, "topped_up", republish.walk_pages(partial(_top_up_page, context)))


def _top_up_page(context: WorkerContext, after: uuid.UUID | None) -> tuple[list[Message], uuid.UUID | None]:
    with transaction(context.engine) as session:
        return republish.top_up_jobs(session, context.window, context.clock.now(), after)


def count_messages(context: WorkerContext) -> int | None:
    """Messages that wait in the queues; None if the broker does not answer.

    0 says that what is published but unclaimed must be lost. Messages that a worker has taken and not yet started are not in a
    queue; the settling time covers them.
    """
    broker = context.settings.broker
    try:
        with Redis.from_url(
            broker.full_url,
            socket_timeout=broker.socket_timeout_s,
            socket_connect_timeout=broker.socket_timeout_s,
        ) as redis:
            return sum(int(redis.llen(queue)) for queue in QUEUES)
    except RedisError as error:
        metrics.DEPENDENCY_ERRORS.add("broker")
        log.warning("broker_away", error=str(error))
        return None
