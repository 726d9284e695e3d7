"""Tables of keys, sessions and the audit. Tenants are in core.db.models: jobs belong to them."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, Integer
from sqlalchemy.orm import Mapped, mapped_column

from core.db.models import Base


class ApiKey(Base):
    """A key of a tenant. The key itself is shown once, when it is made, and kept nowhere."""

    __tablename__ = "api_keys"
    __table_args__ = (Index("ix_api_keys_sha256", "sha256", unique=True), Index("ix_api_keys_tenant_id", "tenant_id"))

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tenants.id"))
    name: Mapped[str]
    hint: Mapped[str]  # the key's beginning: core.access.tokens.hint
    sha256: Mapped[str]  # of the whole key, hexadecimal
    scopes: Mapped[list[str]] = mapped_column(JSON)  # core.access.scopes.Scope
    created_at: Mapped[datetime]
    created_by: Mapped[str]
    expires_at: Mapped[datetime | None]  # None: never
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]  # to the minute: not every request is written down


class PageSession(Base):
    """A browser that has shown a key; ends with it."""

    __tablename__ = "page_sessions"
    __table_args__ = (Index("ix_page_sessions_key_id", "key_id"), Index("ix_page_sessions_expires_at", "expires_at"))

    sha256: Mapped[str] = mapped_column(primary_key=True)  # of the cookie's value, hexadecimal
    key_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("api_keys.id", ondelete="CASCADE"))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class AuditEvent(Base):
    """Who did what to which job, key, tenant or model. Only ever added to; outlives what it is about."""

    __tablename__ = "audit_events"
    __table_args__ = (Index("ix_audit_events_tenant_id_id", "tenant_id", "id"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True)  # counts up: the order of events, whatever the clocks say
    at: Mapped[datetime]
    actor: Mapped[str]  # a key's name, or user@host
    key_id: Mapped[uuid.UUID | None]  # the key that was used
    tenant_id: Mapped[uuid.UUID | None]  # to whom the object belongs; no foreign key: the tenant may be deleted
    action: Mapped[str]  # core.db.access.audit.Action
    object_id: Mapped[str]  # of the job, key or tenant
    detail: Mapped[dict[str, Any]] = mapped_column(JSON)
