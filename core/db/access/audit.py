"""The audit: who did what to which job, key or tenant, recorded in the transaction that does it.

Moves of model versions have records of their own: core.db.versions.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.access.callers import Caller
from core.db.access.tables import AuditEvent


class Action(StrEnum):
    """What was done."""

    TENANT_CREATE = "tenant.create"
    TENANT_UPDATE = "tenant.update"
    TENANT_SUSPEND = "tenant.suspend"
    TENANT_RESUME = "tenant.resume"
    TENANT_DELETE = "tenant.delete"
    KEY_CREATE = "key.create"
    KEY_ROTATE = "key.rotate"
    KEY_REVOKE = "key.revoke"
    SIGN_IN = "session.sign_in"
    SIGN_OUT = "session.sign_out"
    JOB_SUBMIT = "job.submit"
    JOB_CANCEL = "job.cancel"
    JOB_RETRY = "job.retry"
    JOB_DELETE = "job.delete"
    JOB_TAGS = "job.tag"
    DECISION = "item.decide"
    PURGE = "jobs.purge"
    WEBHOOK_CREATE = "webhook.create"
    WEBHOOK_ROTATE = "webhook.rotate"
    WEBHOOK_DELETE = "webhook.delete"
    WEBHOOK_REPLAY = "webhook.replay"


def record(
    session: Session,
    caller: Caller,
    action: Action,
    object_id: object,
    now: datetime,
    *,
    tenant_id: uuid.UUID | None = None,
    **detail: Any,
) -> None:
    """Add a record; records are never changed or removed.

    Args:
        session: of the transaction that does what is recorded.
        caller: who does it.
        action: what.
        object_id: to which job, key or tenant.
        now: when.
        tenant_id: to whom the object belongs; the caller's tenant by default.
        detail: counts, states and the like, as JSON takes them. Never a key, a file's name or a note.
    """
    session.add(
        AuditEvent(
            at=now,
            actor=caller.actor,
            key_id=caller.key_id,
            tenant_id=tenant_id or caller.tenant_id,
            action=action,
            object_id=str(object_id),
            detail=detail,
        )
    )
    session.flush()


def newest_audit(session: Session, *, limit: int) -> Sequence[AuditEvent]:
    """The last records, newest first."""
    return session.scalars(select(AuditEvent).order_by(AuditEvent.id.desc()).limit(limit)).all()


def list_audit(
    session: Session, *, tenant_id: uuid.UUID | None = None, after: int = 0, limit: int = 1000
) -> Sequence[AuditEvent]:
    """Records in their order, oldest first.

    Args:
        session: a reading one.
        tenant_id: only of this tenant.
        after: only those behind this record's number: the next page.
        limit: at most so many.
    """
    query = select(AuditEvent).where(AuditEvent.id > after).order_by(AuditEvent.id).limit(limit)
    if tenant_id is not None:
        query = query.where(AuditEvent.tenant_id == tenant_id)
    return session.scalars(query).all()
