"""Deletes what is past its retention: rows first, then what they named in the storage."""

from __future__ import annotations

from core.db.engine import transaction
from core.db.maintenance import retention
from worker.context import WorkerContext


def delete_expired(context: WorkerContext) -> None:
    """One page of expired jobs, and what crashed uploads left in the storage."""
    with transaction(context.engine) as session:
        prefixes = retention.delete_expired_jobs(session, context.clock.now())
    for prefix in prefixes:
        context.storage.delete_prefix(prefix)
    context.storage.remove_orphans()
