"""`dermq purge`: remove ended jobs now, with all that is kept of them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.models.operator import ByOption
from cli.options import DataDirOption, JsonOption, WhoseOption

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy import Engine

    from core.access.callers import Caller
    from core.storage.base import ObjectStorage


def purge(
    *,
    older_than: Annotated[
        float, typer.Option("--older-than", metavar="DAYS", min=0, help="Jobs that ended so long ago. 0: all that have ended.")
    ],
    tenant: WhoseOption = None,
    job: Annotated[list[str] | None, typer.Option("--job", metavar="ID", help="Only this job; repeat it.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and remove nothing.")] = False,
    by: ByOption = None,
    json: JsonOption = False,
    data_dir: DataDirOption = None,
) -> None:
    """Remove ended jobs with their rows, decisions, uploads and indexes, in the ledger and storage of this machine's settings.

    The audit records each job that went, and the sum, with counts. Workers remove by themselves what is past its retention.
    """
    from cli.ledger import open_ledger, operator, settings_of
    from cli.output.terminal import open_out, print_json
    from core.clock import SystemClock
    from core.db.access.tenants import find_tenant
    from core.db.engine import reading
    from core.storage.factory import open_storage

    settings, caller = settings_of(data_dir), operator(by)
    storage = open_storage(settings.storage_url, settings.storage)
    with open_ledger(settings) as engine:
        with reading(engine) as session:
            tenant_id = find_tenant(session, tenant).id if tenant else None
        chosen = {"before": SystemClock().now() - timedelta(days=older_than), "tenant_id": tenant_id, "job_ids": _ids(job)}
        counts = _count(engine, chosen) if dry_run else _purge(engine, storage, caller, chosen)
    if json:
        print_json(counts | {"dry_run": dry_run})
        return
    verb = "would go" if dry_run else "are gone"
    said = f"{counts['jobs']:,} jobs {verb}, with {counts['items']:,} items"
    objects = "" if dry_run else f" and {counts['objects']:,} objects of {counts['bytes']:,} bytes"
    open_out().print(f"{said}{objects}.", soft_wrap=True)


def _ids(words: list[str] | None) -> list[UUID]:
    from uuid import UUID

    from core.errors import InvalidRequestError

    try:
        return [UUID(word) for word in words or ()]
    except ValueError as error:
        raise InvalidRequestError(f"expected whole ids of jobs, got {', '.join(words or ())[:200]!r}") from error


def _count(engine: Engine, chosen: dict[str, Any]) -> dict[str, int]:
    from core.db.engine import reading
    from core.db.maintenance.purge import find_purgeable

    with reading(engine) as session:
        jobs = find_purgeable(session, **chosen, limit=1_000_000)
    return {"jobs": len(jobs), "items": sum(job.total or 0 for job in jobs)}


def _purge(engine: Engine, storage: ObjectStorage, caller: Caller, chosen: dict[str, Any]) -> dict[str, int]:
    """Page by page; then the record with the sum."""
    from core.clock import SystemClock
    from core.db.access.audit import Action, record
    from core.db.engine import transaction
    from core.db.maintenance.erasing import erase_job
    from core.db.maintenance.purge import find_purgeable, purge_jobs

    counts = {"jobs": 0, "items": 0, "objects": 0, "bytes": 0}
    while True:
        with transaction(engine) as session:
            jobs = find_purgeable(session, **chosen)
            counts["jobs"] += len(jobs)
            counts["items"] += sum(job.total or 0 for job in jobs)
            prefixes = purge_jobs(session, jobs, caller, SystemClock().now())
        if not jobs:
            break
        _empty(engine, storage, prefixes, counts)
        for job in jobs:
            erase_job(engine, job.id)
    with transaction(engine) as session:
        whose = chosen["tenant_id"]
        record(session, caller, Action.PURGE, whose or "all tenants", SystemClock().now(), tenant_id=whose, **counts)
    return counts


def _empty(engine: Engine, storage: ObjectStorage, prefixes: list[str], counts: dict[str, int]) -> None:
    """What the storage cannot delete now, the sweep deletes later."""
    from core.db.engine import transaction
    from core.db.tombstones import remove

    for prefix in prefixes:
        for info in storage.list(prefix):
            counts["objects"] += 1
            counts["bytes"] += info.size
        storage.delete_prefix(prefix)
    with transaction(engine) as session:
        remove(session, prefixes)
