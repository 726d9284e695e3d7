"""Tables of webhooks and of the messages to them."""

from __future__ import annotations

import uuid
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, Integer
from sqlalchemy.orm import Mapped, mapped_column

from core.db.models import Base


class DeliveryState(StrEnum):
    """What has become of a message."""

    PENDING = "pending"
    DELIVERED = "delivered"  # answered with 2xx
    FAILED = "failed"  # given up; `replay` makes it pending again


class Webhook(Base):
    """An address that a tenant's messages are sent to; with a job, those of that job only."""

    __tablename__ = "webhooks"
    __table_args__ = (Index("ix_webhooks_tenant_id", "tenant_id"), Index("ix_webhooks_job_id", "job_id"))

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tenants.id"))
    job_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    url: Mapped[str]
    events: Mapped[list[str]] = mapped_column(JSON)  # core.webhooks.EventType; empty: all
    secret: Mapped[str]  # it signs: a digest of it would not do
    previous_secret: Mapped[str | None]  # signs, too, until `previous_until`
    previous_until: Mapped[datetime | None]
    created_at: Mapped[datetime]
    created_by: Mapped[str]
    failing_since: Mapped[datetime | None]  # the first failure since the last success
    disabled_at: Mapped[datetime | None]
    disabled_reason: Mapped[str | None]


class WebhookDelivery(Base):
    """A message to one webhook: written in the transaction of what it tells of."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        Index("ix_webhook_deliveries_due_at", "due_at"),
        Index("ix_webhook_deliveries_webhook_id_id", "webhook_id", "id"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    webhook_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"))
    event: Mapped[str]
    payload: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[datetime]
    state: Mapped[str]
    due_at: Mapped[datetime | None]  # when it is tried next; None: not any more
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    last_at: Mapped[datetime | None]
    last_status: Mapped[int | None] = mapped_column(Integer)  # of HTTP; None: no answer
    last_error: Mapped[str | None]
