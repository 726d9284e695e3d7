"""Messages to webhooks: written in the transaction that does what they tell of, so that none is lost and none is untrue."""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.orm import Session

from core.db.models import Job
from core.db.webhooks.tables import DeliveryState, Webhook, WebhookDelivery
from core.ids import new_id
from core.webhooks import EventType

# Waits before the second try and so on, as Standard Webhooks proposes; after the last one a message has failed.
WAITS_S = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
JITTER = 0.2
LEASE_S = 120.0  # for one try: longer than any takes
DISABLED_AFTER = timedelta(days=5)  # without one success
KEPT_FOR = timedelta(days=30)
AT_ONCE = 4  # messages to one webhook in one round: a slow receiver does not keep the others waiting
GONE = 410
MARKS = 4  # a message at each quarter


@dataclass(frozen=True, slots=True)
class Due:
    """A message to be sent now."""

    id: uuid.UUID
    webhook_id: uuid.UUID
    url: str
    secrets: tuple[str, ...]
    payload: dict[str, Any]

    def __repr__(self) -> str:
        return f"Due({self.id})"  # no secret in a log or a traceback


def emit(session: Session, event: EventType, data: dict[str, Any], now: datetime, *, job_id: uuid.UUID | None = None) -> int:
    """Write a message for each webhook that asks for the event.

    Args:
        session: of the transaction that does what the message tells of.
        event: what.
        data: what is said of it, as JSON takes it. Never a file's name.
        now: when.
        job_id: whose job: its tenant's webhooks; None: those of all tenants.

    Returns:
        How many messages.
    """
    query = select(Webhook.id, Webhook.events).where(Webhook.disabled_at.is_(None))
    if job_id is None:
        query = query.where(Webhook.job_id.is_(None))
    else:
        owner = select(Job.tenant_id).where(Job.id == job_id).scalar_subquery()
        query = query.where(Webhook.tenant_id == owner, or_(Webhook.job_id.is_(None), Webhook.job_id == job_id))
    payload = {"type": str(event), "timestamp": now.isoformat(), "data": data}
    wanted = [webhook_id for webhook_id, events in session.execute(query) if not events or event in events]
    for webhook_id in wanted:
        session.add(
            WebhookDelivery(
                id=new_id(),
                webhook_id=webhook_id,
                event=event,
                payload=payload,
                created_at=now,
                state=DeliveryState.PENDING,
                due_at=now,
                attempts=0,
            )
        )
    return len(wanted)


def emit_progress(session: Session, job_id: uuid.UUID, now: datetime, *, total: int, remaining: int, done_now: int) -> None:
    """A message where `done_now` items have taken a job past a quarter, half or three quarters of its items."""
    done = total - remaining
    mark = MARKS * done // total if total else 0
    if 0 < mark < MARKS and MARKS * (done - done_now) // total < mark:
        data = {"job": str(job_id), "percent": 100 * mark // MARKS, "items": {"total": total, "done": done}}
        emit(session, EventType.JOB_PROGRESS, data, now, job_id=job_id)


def take_due(session: Session, now: datetime, limit: int) -> list[Due]:
    """Messages that are due, the longest first, AT_ONCE of a webhook; whoever takes them has LEASE_S for one try."""
    order = (WebhookDelivery.due_at, WebhookDelivery.id)
    is_due = (WebhookDelivery.due_at <= now, Webhook.disabled_at.is_(None))
    place = func.row_number().over(partition_by=WebhookDelivery.webhook_id, order_by=order)
    placed = select(WebhookDelivery.id, place.label("place")).join(Webhook).where(*is_due).subquery()
    rows = session.execute(
        select(WebhookDelivery, Webhook)
        .join(Webhook, Webhook.id == WebhookDelivery.webhook_id)
        .where(*is_due, WebhookDelivery.id.in_(select(placed.c.id).where(placed.c.place <= AT_ONCE)))
        .order_by(*order)
        .limit(limit)
        .with_for_update(skip_locked=True, of=WebhookDelivery)
    ).all()
    for delivery, _ in rows:
        delivery.due_at = now + timedelta(seconds=LEASE_S)
    return [Due(delivery.id, hook.id, hook.url, secrets_of(hook, now), delivery.payload) for delivery, hook in rows]


def secrets_of(webhook: Webhook, now: datetime) -> tuple[str, ...]:
    """Those that sign now: the present one, and for some time the one before."""
    if webhook.previous_secret is not None and webhook.previous_until is not None and webhook.previous_until > now:
        return (webhook.secret, webhook.previous_secret)
    return (webhook.secret,)


def settle(
    session: Session, due: Due, now: datetime, *, status: int | None, error: str | None = None, wait_s: float | None = None
) -> None:
    """Record what came of a try, and when the next one is.

    Args:
        session: its transaction.
        due: the message.
        now: when.
        status: of HTTP; None: no answer.
        error: why there is none.
        wait_s: how long the receiver asks to be left alone.
    """
    delivery = session.get(WebhookDelivery, due.id, with_for_update=True)
    webhook = session.get(Webhook, due.webhook_id, with_for_update=True)
    if delivery is None or webhook is None:
        return
    delivery.attempts += 1
    delivery.last_at, delivery.last_status, delivery.last_error = now, status, error
    if status is not None and 200 <= status < 300:
        delivery.state, delivery.due_at = DeliveryState.DELIVERED, None
        webhook.failing_since = None
        return
    webhook.failing_since = webhook.failing_since or now
    delivery.due_at = _next_try(delivery.attempts, now, wait_s)
    if delivery.due_at is None:
        delivery.state = DeliveryState.FAILED
    if status == GONE:
        disable(session, webhook, "the receiver answered 410 Gone", now)
    elif now - webhook.failing_since >= DISABLED_AFTER:
        disable(session, webhook, f"no message was taken for {DISABLED_AFTER.days} days", now)


def disable(session: Session, webhook: Webhook, reason: str, now: datetime) -> None:
    """Send nothing more to it; what waits has failed."""
    webhook.disabled_at, webhook.disabled_reason = now, reason
    session.flush()
    session.execute(
        update(WebhookDelivery)
        .where(WebhookDelivery.webhook_id == webhook.id, WebhookDelivery.state == DeliveryState.PENDING)
        .values(state=DeliveryState.FAILED, due_at=None),
        execution_options={"synchronize_session": False},
    )


def forget_old(session: Session, now: datetime) -> int:
    """Remove messages that were settled long ago; returns how many. Only the oldest are looked at: each sweep asks for this."""
    columns = (WebhookDelivery.id, WebhookDelivery.due_at, WebhookDelivery.created_at)
    oldest = select(*columns).order_by(WebhookDelivery.id).limit(500).subquery()  # ids sort by time
    old = (oldest.c.due_at.is_(None), oldest.c.created_at < now - KEPT_FOR)
    chosen: Sequence[uuid.UUID] = session.scalars(select(oldest.c.id).where(*old)).all()
    if chosen:
        session.execute(delete(WebhookDelivery).where(WebhookDelivery.id.in_(chosen)))
    return len(chosen)


def _next_try(attempts: int, now: datetime, wait_s: float | None) -> datetime | None:
    if attempts > len(WAITS_S):
        return None
    seconds = WAITS_S[attempts - 1] * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - against rushes, not against guessing
    return now + timedelta(seconds=max(seconds, min(wait_s or 0.0, WAITS_S[-1])))
