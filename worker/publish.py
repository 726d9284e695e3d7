"""Sending wake-ups. A wake-up that cannot be sent is no loss: SQL remembers what is due, and the sweeper sends it again."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from celery import Celery
from kombu.exceptions import OperationalError

from core.messages import Message
from core.telemetry.logs import get_logger
from worker.telemetry import metrics

log = get_logger(__name__)


def make_publisher(app: Celery) -> Callable[[Iterable[Message]], None]:
    """A function that sends messages through this app's broker; call it after the transaction has committed."""

    def publish(messages: Iterable[Message]) -> None:
        for message in messages:
            try:
                app.send_task(message.task, args=message.args, queue=message.queue, retry=False)
            except OperationalError as error:
                metrics.PUBLISH_FAILURES.add()
                metrics.DEPENDENCY_ERRORS.add("broker")
                log.warning("broker_away", task=message.task, error=str(error), consequence="the sweeper sends it again")
                return

    return publish
