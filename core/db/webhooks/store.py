"""Webhooks as their owners see them."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.access.callers import Caller
from core.db.access.audit import Action, record
from core.db.jobs import get_job
from core.db.models import Tenant
from core.db.webhooks.tables import DeliveryState, Webhook, WebhookDelivery
from core.egress.addresses import check_url
from core.errors import ConflictError, InvalidRequestError, NotFoundError
from core.ids import new_id
from core.webhooks import EventType, new_secret

OVERLAP = timedelta(hours=24)  # both secrets sign after a rotation
MOST = 50  # webhooks of a tenant: each one costs a row at the end of each job


@dataclass(frozen=True, slots=True)
class NewWebhook:
    """What a webhook shall be.

    Attributes:
        tenant_id: whose.
        url: where messages go.
        events: which; none named: all.
        job_id: only those of this job.
    """

    tenant_id: uuid.UUID
    url: str
    events: frozenset[EventType] = frozenset()
    job_id: uuid.UUID | None = None


def read_events(words: Iterable[str]) -> frozenset[EventType]:
    """Events from their names.

    Raises:
        InvalidRequestError: a name is unknown.
    """
    given = frozenset(words)
    if unknown := sorted(given - set(EventType)):
        raise InvalidRequestError(f"expected events out of {', '.join(EventType)}, got {', '.join(map(repr, unknown))}")
    return frozenset(map(EventType, given))


def create_webhook(session: Session, caller: Caller, new: NewWebhook, now: datetime) -> Webhook:
    """Make a webhook; its `secret` is for its owner, who sees it this once.

    Raises:
        InvalidRequestError: the address is none.
        ConflictError: the tenant has too many.
        NotFoundError: the tenant has no such job.
    """
    check_url(new.url)
    # Webhooks of a tenant are made one after another, so that together they do not exceed the limit.
    session.execute(select(Tenant.id).where(Tenant.id == new.tenant_id).with_for_update(key_share=True))
    if (session.scalar(select(func.count()).where(Webhook.tenant_id == new.tenant_id)) or 0) >= MOST:
        raise ConflictError(f"this tenant has {MOST} webhooks, and may have no more: delete one")
    if new.job_id is not None:
        get_job(session, new.tenant_id, new.job_id)
    webhook = Webhook(
        id=new_id(),
        tenant_id=new.tenant_id,
        job_id=new.job_id,
        url=new.url,
        events=sorted(new.events),
        secret=new_secret(),
        created_at=now,
        created_by=caller.actor,
    )
    session.add(webhook)
    session.flush()
    record(session, caller, Action.WEBHOOK_CREATE, webhook.id, now, tenant_id=new.tenant_id)
    return webhook


def list_webhooks(session: Session, tenant_id: uuid.UUID | None = None) -> Sequence[Webhook]:
    """Oldest first; of one tenant or of all."""
    query = select(Webhook).order_by(Webhook.id)
    return session.scalars(query if tenant_id is None else query.where(Webhook.tenant_id == tenant_id)).all()


def get_webhook(session: Session, webhook_id: uuid.UUID, tenant_id: uuid.UUID | None = None) -> Webhook:
    """One webhook, under its row lock.

    Raises:
        NotFoundError: there is none, or it is another tenant's.
    """
    webhook = session.get(Webhook, webhook_id, with_for_update=True)
    if webhook is None or (tenant_id is not None and webhook.tenant_id != tenant_id):
        raise NotFoundError(f"no webhook {webhook_id}; `dermq webhooks list` shows what there is")
    return webhook


def rotate_secret(session: Session, caller: Caller, webhook: Webhook, now: datetime) -> Webhook:
    """A new secret; the one before signs, too, for a day, so that receivers can change over."""
    webhook.previous_secret, webhook.previous_until = webhook.secret, now + OVERLAP
    webhook.secret = new_secret()
    record(session, caller, Action.WEBHOOK_ROTATE, webhook.id, now, tenant_id=webhook.tenant_id)
    return webhook


def delete_webhook(session: Session, caller: Caller, webhook: Webhook, now: datetime) -> None:
    """Remove it, with its messages."""
    session.delete(webhook)
    record(session, caller, Action.WEBHOOK_DELETE, webhook.id, now, tenant_id=webhook.tenant_id)


def list_deliveries(session: Session, webhook_id: uuid.UUID, *, limit: int = 100) -> Sequence[WebhookDelivery]:
    """Messages to a webhook, newest first."""
    query = select(WebhookDelivery).where(WebhookDelivery.webhook_id == webhook_id)
    return session.scalars(query.order_by(WebhookDelivery.id.desc()).limit(limit)).all()


def replay(session: Session, caller: Caller, webhook: Webhook, delivery_id: uuid.UUID, now: datetime) -> WebhookDelivery:
    """Send a message again, with the same id; a webhook that was disabled is enabled by it.

    Raises:
        NotFoundError: the webhook has no such message.
    """
    delivery = session.get(WebhookDelivery, delivery_id)
    if delivery is None or delivery.webhook_id != webhook.id:
        raise NotFoundError(f"webhook {webhook.id} has no message {delivery_id}")
    delivery.state, delivery.due_at, delivery.attempts = DeliveryState.PENDING, now, 0
    webhook.disabled_at = webhook.disabled_reason = webhook.failing_since = None
    record(session, caller, Action.WEBHOOK_REPLAY, webhook.id, now, tenant_id=webhook.tenant_id, message=str(delivery_id))
    return delivery
