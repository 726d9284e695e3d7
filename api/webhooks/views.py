"""From rows of the ledger to what is answered."""

from __future__ import annotations

from typing import Any

from api.webhooks.schemas import DeliveryObject, MadeWebhookObject, WebhookObject
from core.db.webhooks.tables import Webhook, WebhookDelivery

_SAME = ("id", "url", "events", "disabled_reason", "failing_since", "created_at", "created_by")
_DELIVERY = ("id", "event", "state", "created_at", "attempts", "due_at", "last_at", "last_status", "last_error", "payload")


def webhook_object(webhook: Webhook) -> WebhookObject:
    """A webhook as it is shown."""
    return WebhookObject(**_fields(webhook))


def made_webhook_object(webhook: Webhook) -> MadeWebhookObject:
    """The same with its secret, for its owner, once."""
    return MadeWebhookObject(**_fields(webhook), secret=webhook.secret)


def delivery_object(delivery: WebhookDelivery) -> DeliveryObject:
    """A message as it is shown."""
    return DeliveryObject(**{name: getattr(delivery, name) for name in _DELIVERY})


def _fields(webhook: Webhook) -> dict[str, Any]:
    state = "disabled" if webhook.disabled_at else "active"
    return {name: getattr(webhook, name) for name in _SAME} | {"job": webhook.job_id, "state": state}
