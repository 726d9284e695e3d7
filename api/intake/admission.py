"""Whether a job may come, asked before its bytes are taken in. The answer counts when the job is stored: core.db.jobs."""

from __future__ import annotations

from uuid import UUID

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from api.intake.diskspace import make_guard
from api.resources import Resources
from core.db.access.quotas import check_quotas
from core.db.engine import reading
from core.db.jobs import find_job_by_key


async def check_room(request: Request, here: Resources, tenant_id: UUID, idempotency_key: str | None) -> None:
    """Refuse by the tenant's quotas and the announced size; what was sent before finds its job all the same.

    Raises:
        QuotaExceededError: the tenant has no room for the job.
        DiskFullError: the disk has none.
    """
    announced = request.headers.get("content-length", "")
    size = int(announced) if announced.isdigit() else 0
    await run_in_threadpool(_check, here, tenant_id, size, idempotency_key)


def _check(here: Resources, tenant_id: UUID, size: int, idempotency_key: str | None) -> None:
    with reading(here.engine) as session:
        if idempotency_key is None or find_job_by_key(session, tenant_id, idempotency_key) is None:
            check_quotas(session, tenant_id, size)
    if size <= here.settings.api.max_upload_bytes:  # more is refused for that, with 413
        make_guard(here.settings)(size)
