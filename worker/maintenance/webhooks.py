"""Sends the messages to webhooks that are due."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException

from core.db.engine import transaction
from core.db.webhooks.outbox import Due, forget_old, settle, take_due
from core.egress.addresses import find_target
from core.egress.sending import post
from core.errors import DatabaseUnavailableError, InvalidRequestError
from core.telemetry.logs import get_logger
from core.webhooks import sign
from worker.context import WorkerContext

log = get_logger(__name__)

MESSAGES = 16  # in one sweep, all at once
TIMEOUT_S = 5.0  # of one, with the time that its name takes: the other duties of the sweep wait for it
_LEAST_S = 0.1


def deliver_webhooks(context: WorkerContext) -> None:
    """One round. What is left, or fails, comes with a later one."""
    with transaction(context.engine) as session:
        now = context.clock.now()
        forget_old(session, now)
        taken = take_due(session, now, MESSAGES)
    if not taken:
        return
    with ThreadPoolExecutor(len(taken)) as threads:
        list(threads.map(lambda due: _deliver(context, due), taken))


def _deliver(context: WorkerContext, due: Due) -> None:
    status, error, wait_s = None, None, None
    body = json.dumps(due.payload, separators=(",", ":")).encode()
    headers = {"Content-Type": "application/json", **sign(f"msg_{due.id}", context.clock.now(), body, due.secrets)}
    until = time.monotonic() + TIMEOUT_S
    try:
        target = find_target(due.url, context.settings.egress.allowed_networks, timeout_s=TIMEOUT_S)
        answer = post(target, body, headers, max(_LEAST_S, until - time.monotonic()))
        status, wait_s = answer.status, answer.retry_after_s
    except (OSError, HTTPException, InvalidRequestError) as caught:
        error = f"{type(caught).__name__}: {caught}"[:500]
    log.info("webhook_tried", webhook=str(due.webhook_id), message=str(due.id), status=status, failed=error is not None)
    try:
        with transaction(context.engine) as session:
            settle(session, due, context.clock.now(), status=status, error=error, wait_s=wait_s)
    except DatabaseUnavailableError as caught:
        log.warning("webhook_not_settled", message=str(due.id), error=str(caught), consequence="it is sent again")
