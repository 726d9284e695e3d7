"""Whether a tenant may have another job: its quotas against what it has."""

from __future__ import annotations

import uuid

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.db.models import TERMINAL_STATES, Job, Tenant, Upload
from core.errors import QuotaExceededError

# When to ask again: jobs and items go as they are done, bytes when jobs are deleted.
_RETRY_WORK_S, _RETRY_BYTES_S = 30, 300


def check_quotas(session: Session, tenant_id: uuid.UUID, size: int, *, lock: bool = False) -> Tenant:
    """Refuse a job that its tenant has no room for. A tenant without limits costs one look at its row.

    Args:
        session: of the transaction that adds the job; or a reading one, to refuse before the bytes are sent.
        tenant_id: whose job.
        size: bytes of its upload.
        lock: let jobs of a tenant with limits be added one after another, so that together they do not exceed them.

    Returns:
        The tenant.

    Raises:
        QuotaExceededError: which limit, and what there is.
    """
    tenant = session.execute(select(Tenant).where(Tenant.id == tenant_id)).scalar_one()
    if tenant.max_jobs is None and tenant.max_items is None and tenant.max_bytes is None:
        return tenant
    if lock:
        session.execute(select(Tenant.id).where(Tenant.id == tenant_id).with_for_update(key_share=True))
    if tenant.max_jobs is not None or tenant.max_items is not None:
        _check_work(session, tenant)
    if tenant.max_bytes is not None:
        _check_bytes(session, tenant.id, tenant.max_bytes, size)
    return tenant


def _check_work(session: Session, tenant: Tenant) -> None:
    query = select(func.count(), func.coalesce(func.sum(Job.remaining), 0)).where(
        Job.tenant_id == tenant.id, Job.state.not_in(TERMINAL_STATES)
    )
    jobs, items = session.execute(query).one()
    if tenant.max_jobs is not None and jobs >= tenant.max_jobs:
        raise QuotaExceededError(
            f"this tenant has {jobs} jobs that have not ended, and may have {tenant.max_jobs}: wait for one, or cancel one",
            quota="max_jobs",
            limit=tenant.max_jobs,
            retry_after_s=_RETRY_WORK_S,
        )
    if tenant.max_items is not None and items >= tenant.max_items:
        raise QuotaExceededError(
            f"this tenant has {items} items without a result, and may have {tenant.max_items}: wait, or cancel a job",
            quota="max_items",
            limit=tenant.max_items,
            retry_after_s=_RETRY_WORK_S,
        )


def _check_bytes(session: Session, tenant_id: uuid.UUID, limit: int, size: int) -> None:
    stored = int(session.scalar(select(func.coalesce(func.sum(Upload.size), 0)).where(Upload.tenant_id == tenant_id)) or 0)
    if stored + size > limit:
        raise QuotaExceededError(
            f"this tenant has {stored} bytes of uploads, and may have {limit}: {size} more do not fit; delete ended jobs",
            quota="max_bytes",
            limit=limit,
            retry_after_s=_RETRY_BYTES_S,
        )
