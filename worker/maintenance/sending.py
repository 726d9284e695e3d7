"""Sends what a duty of the sweep found to be due, and counts it."""

from __future__ import annotations

from core.messages import Message
from core.telemetry.logs import get_logger
from worker.context import WorkerContext
from worker.telemetry import metrics

log = get_logger(__name__)


def send(context: WorkerContext, step: str, messages: list[Message]) -> None:
    """Publish messages after the transaction that made them due has committed."""
    if messages:
        log.info("swept", step=step, messages=len(messages))
    metrics.SWEPT_MESSAGES.add(step, amount=len(messages))
    context.publish(messages)
