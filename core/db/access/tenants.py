"""Tenants: made, listed, limited, suspended, deleted."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime

from sqlalchemy import delete, exists, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from core.access.callers import Caller
from core.db.access.audit import Action, record
from core.db.access.tables import ApiKey
from core.db.models import GONE_TENANT_ID, LOCAL_TENANT_ID, Job, Tenant, Upload
from core.db.uploads.partial import end_uploads
from core.db.webhooks.tables import Webhook
from core.errors import ConflictError, InvalidRequestError, NotFoundError
from core.ids import new_id

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


@dataclass(frozen=True, slots=True)
class Quotas:
    """What a tenant may use. None: no limit.

    Attributes:
        max_jobs: jobs that have not ended.
        max_items: items without a result, of all its jobs.
        max_bytes: bytes of stored uploads.
        max_requests: requests to the API in a minute; each API process counts for itself.
        retention_days: how long its ended jobs are kept at most.
    """

    max_jobs: int | None = None
    max_items: int | None = None
    max_bytes: int | None = None
    max_requests: int | None = None
    retention_days: float | None = None

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value is not None and not value >= 0:
                raise InvalidRequestError(f"{name} is {value}: expected 0 or more, or nothing for no limit")


def create_tenant(
    session: Session, caller: Caller, name: str, now: datetime, *, quotas: Quotas | None = None, weight: int = 1
) -> Tenant:
    """Add a tenant.

    Args:
        session: of a writing transaction.
        caller: for the audit.
        name: unique; lower-case letters, digits, `.`, `_` and `-`, at most 63.
        now: when.
        quotas: none by default.
        weight: its share of the workers beside other tenants, from 1 on.

    Raises:
        InvalidRequestError: the name, a quota or the weight is none.
        ConflictError: the name is taken.
    """
    if not _NAME.fullmatch(name):
        raise InvalidRequestError(
            f"expected a tenant's name of lower-case letters, digits, '.', '_' and '-', at most 63, got {name!r}"
        )
    _check_weight(weight)
    tenant = Tenant(id=new_id(), name=name, created_at=now, weight=weight, **asdict(quotas or Quotas()))
    try:
        with session.begin_nested():
            session.add(tenant)
            session.flush()
    except IntegrityError as error:
        raise ConflictError(f"there is a tenant {name!r} already") from error
    record(session, caller, Action.TENANT_CREATE, tenant.id, now, tenant_id=tenant.id, name=name)
    return tenant


def list_tenants(session: Session) -> Sequence[Tenant]:
    """All tenants, by name."""
    return session.scalars(select(Tenant).where(Tenant.id != GONE_TENANT_ID).order_by(Tenant.name)).all()


def find_tenant(session: Session, name: str) -> Tenant:
    """A tenant by its name or id.

    Raises:
        NotFoundError: there is none.
    """
    tenant = session.scalar(select(Tenant).where(Tenant.name == name))
    if tenant is None and (tenant_id := _as_id(name)) is not None:
        tenant = session.get(Tenant, tenant_id)
    if tenant is None or tenant.id == GONE_TENANT_ID:
        raise NotFoundError(f"no tenant {name!r}; `dermq tenants list` shows what there is")
    return tenant


def limit_tenant(
    session: Session, caller: Caller, tenant: Tenant, changes: dict[str, int | float | None], now: datetime
) -> Tenant:
    """Change quotas and weight; what `changes` does not name stays.

    Raises:
        InvalidRequestError: a value is none.
    """
    names = {each.name for each in fields(Quotas)}
    Quotas(**{name: value for name, value in changes.items() if name in names})  # type: ignore[arg-type]
    _check_weight(changes.get("weight", tenant.weight))
    for name, value in changes.items():
        setattr(tenant, name, value)
    record(session, caller, Action.TENANT_UPDATE, tenant.id, now, tenant_id=tenant.id, **changes)
    return tenant


def suspend_tenant(session: Session, caller: Caller, tenant: Tenant, now: datetime) -> Tenant:
    """Its keys do not work until it is resumed; its jobs run on. A second time changes nothing."""
    if tenant.suspended_at is None:
        tenant.suspended_at = now
        record(session, caller, Action.TENANT_SUSPEND, tenant.id, now, tenant_id=tenant.id)
    return tenant


def resume_tenant(session: Session, caller: Caller, tenant: Tenant, now: datetime) -> Tenant:
    """Its keys work again."""
    if tenant.suspended_at is not None:
        tenant.suspended_at = None
        record(session, caller, Action.TENANT_RESUME, tenant.id, now, tenant_id=tenant.id)
    return tenant


def delete_tenant(session: Session, caller: Caller, tenant: Tenant, now: datetime) -> None:
    """Remove a tenant with its keys, its webhooks and its uploads in parts.

    Its jobs must be gone: they are deleted one by one, so that nobody deletes all at once.

    Raises:
        ConflictError: it is the built-in one, or has jobs or uploads.
    """
    if tenant.id == LOCAL_TENANT_ID:
        raise ConflictError(f"the tenant {tenant.name!r} is built in: it can be suspended, not deleted")
    owned = (exists().where(table.tenant_id == tenant.id) for table in (Job, Upload))
    if any(session.scalar(select(each)) for each in owned):
        raise ConflictError(f"the tenant {tenant.name!r} still has jobs: delete them first, or suspend the tenant")
    end_uploads(session, tenant.id, now)
    session.execute(delete(Webhook).where(Webhook.tenant_id == tenant.id))
    session.execute(delete(ApiKey).where(ApiKey.tenant_id == tenant.id))
    session.delete(tenant)
    record(session, caller, Action.TENANT_DELETE, tenant.id, now, tenant_id=tenant.id, name=tenant.name)


def _check_weight(weight: float | None) -> None:
    if not isinstance(weight, int) or not 1 <= weight <= 1000:
        raise InvalidRequestError(f"expected a weight from 1 to 1000, got {weight}")


def _as_id(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
