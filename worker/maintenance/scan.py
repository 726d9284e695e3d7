"""A slow scan of the storage for objects without a row: some thousand keys in a sweep, a whole scan every few hours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from uuid import UUID

from core.db.engine import transaction
from core.db.strays import begin_scan, check_prefixes, end_scan
from core.errors import StorageUnavailableError
from core.storage.base import ObjectStorage
from core.storage.layout import JOBS, UPLOADS, id_of_key
from core.telemetry.logs import get_logger
from worker.context import WorkerContext
from worker.telemetry import metrics

log = get_logger(__name__)

KEYS = 2000  # in one sweep


@dataclass
class Scan:
    """A scan under way in this process; another process that sweeps leaves it alone."""

    began: datetime
    ids: Iterator[tuple[str, UUID]]


def scan_storage(context: WorkerContext) -> None:
    """Go on with the scan of this process, or begin one if it is due."""
    now, storage = context.clock.now(), context.settings.storage
    if context.scan is None:
        with transaction(context.engine) as session:
            if not begin_scan(session, now, storage.scan_interval_s):
                return
        context.scan = Scan(now, _list_ids(context.storage))
    try:
        found = list(islice(context.scan.ids, KEYS))
    except StorageUnavailableError as error:
        metrics.note_away(error)
        log.warning("scan_interrupted", error=str(error), consequence="the next one begins anew")
        context.scan = None
        return
    with transaction(context.engine) as session:
        uploads, jobs = ({each for folder, each in found if folder == wanted} for wanted in (UPLOADS, JOBS))
        marked = check_prefixes(session, uploads, jobs, context.clock.now(), storage.stray_age_s)
        if len(found) < KEYS:
            end_scan(session, context.scan.began)
    if marked:
        log.warning("objects_without_row", prefixes=marked, consequence="they are deleted")
    if len(found) < KEYS:
        context.scan = None


def _list_ids(storage: ObjectStorage) -> Iterator[tuple[str, UUID]]:
    """(folder, id) of each object that lies where DermQ puts its own."""
    for folder in (UPLOADS, JOBS):
        for info in storage.list(f"{folder}/"):
            found = id_of_key(info.key)
            if found is not None:
                yield folder, found
