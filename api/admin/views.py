"""From rows of the ledger to what is answered."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from api.admin.schemas import AuditObject, KeyObject, TenantObject
from core.db.access.tables import ApiKey, AuditEvent
from core.db.models import Tenant

_TENANT = ("id", "name", "created_at", "suspended_at", "weight")
_LIMITS = ("max_jobs", "max_items", "max_bytes", "max_requests", "retention_days")
_KEY = ("id", "name", "hint", "scopes", "created_at", "created_by", "expires_at", "revoked_at", "last_used_at")


def tenant_object(tenant: Tenant) -> TenantObject:
    """A tenant as it is shown."""
    return TenantObject(**{name: getattr(tenant, name) for name in (*_TENANT, *_LIMITS)})


def key_fields(key: ApiKey, tenant: str, now: datetime) -> dict[str, Any]:
    """What is shown of a key."""
    return {name: getattr(key, name) for name in _KEY} | {"tenant": tenant, "state": _state(key, now)}


def key_object(key: ApiKey, tenant: str, now: datetime) -> KeyObject:
    """A key as it is shown."""
    return KeyObject(**key_fields(key, tenant, now))


def audit_object(event: AuditEvent) -> AuditObject:
    """A record as it is shown."""
    return AuditObject(
        id=event.id,
        at=event.at,
        actor=event.actor,
        key=event.key_id,
        tenant=event.tenant_id,
        action=event.action,
        object_id=event.object_id,
        detail=event.detail,
    )


def _state(key: ApiKey, now: datetime) -> Literal["active", "expired", "revoked"]:
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.expires_at is not None and key.expires_at <= now else "active"
