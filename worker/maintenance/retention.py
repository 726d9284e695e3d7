"""Deletes jobs past their retention, and what deleted jobs have left: rows in the ledger, objects in the storage."""

from __future__ import annotations

from core.db.engine import reading, transaction
from core.db.maintenance import retention
from core.db.maintenance.erasing import erase_for
from core.db.tombstones import list_due, postpone, remove
from core.db.uploads.partial import remove_expired
from core.errors import StorageUnavailableError
from core.telemetry.logs import get_logger
from worker.context import WorkerContext
from worker.telemetry import metrics

log = get_logger(__name__)

PREFIXES = 200  # in one sweep
UPLOADS = 200  # in one sweep
ERASE_S = 2.0  # in one sweep


def delete_expired(context: WorkerContext) -> None:
    """One page of expired jobs, and what crashed uploads left in the storage."""
    with transaction(context.engine) as session:
        retention.delete_expired_jobs(session, context.clock.now())
    context.storage.remove_orphans()


def erase_deleted(context: WorkerContext) -> None:
    """Rows of deleted jobs, for a while: the other duties of the sweep wait."""
    gone = erase_for(context.engine, ERASE_S)
    if gone:
        log.info("rows_erased", jobs=gone)


def end_uploads(context: WorkerContext) -> None:
    """Uploads in parts of which nothing came for a day."""
    with transaction(context.engine) as session:
        ended = remove_expired(session, context.clock.now(), UPLOADS)
    if ended:
        log.info("uploads_ended", uploads=ended)


def empty_tombstones(context: WorkerContext) -> None:
    """Delete objects whose rows are gone. One that cannot go now waits, and does not keep the others."""
    with reading(context.engine) as session:
        prefixes = list_due(session, context.clock.now(), PREFIXES)
    for prefix in prefixes:
        try:
            context.storage.delete_prefix(prefix)
        except StorageUnavailableError as error:
            metrics.note_away(error)
            log.warning("objects_not_deleted", prefix=prefix, error=str(error), consequence="tried again later")
            with transaction(context.engine) as session:
                postpone(session, prefix, context.clock.now())
        else:
            with transaction(context.engine) as session:
                remove(session, [prefix])
