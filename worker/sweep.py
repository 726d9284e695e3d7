"""The periodic sweep: finds what was lost and mends it. Safe to run twice, and in several workers at once."""

from __future__ import annotations

import time
from collections.abc import Callable

from worker.context import WorkerContext
from worker.maintenance.republish import publish_due_jobs, top_up_jobs, wake_idle
from worker.maintenance.rescue import pull_in_far_times, rescue_chunks, rescue_from_dead_processes, rescue_prepares
from worker.maintenance.retention import delete_expired, empty_tombstones, end_uploads, erase_deleted
from worker.maintenance.scan import scan_storage
from worker.maintenance.webhooks import deliver_webhooks
from worker.telemetry import metrics

DUTIES: tuple[Callable[[WorkerContext], None], ...] = (
    pull_in_far_times,
    rescue_from_dead_processes,
    publish_due_jobs,
    rescue_prepares,
    rescue_chunks,
    top_up_jobs,
    wake_idle,
    delete_expired,
    end_uploads,
    erase_deleted,
    empty_tombstones,
    scan_storage,
    deliver_webhooks,
)


def sweep(context: WorkerContext) -> None:
    """One round. Each duty commits its own transactions, and sends its messages after the commit."""
    for duty in DUTIES:
        duty(context)
    metrics.LAST_SWEEP.put(time.time())
