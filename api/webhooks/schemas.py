"""What goes over HTTP of webhooks."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from core.webhooks import EventType

Url = Annotated[str, StringConstraints(min_length=10, max_length=2000, pattern=r"^https?://[\x21-\x7e]+$")]


class NewWebhookRequest(BaseModel):
    """A webhook to be made."""

    model_config = ConfigDict(extra="forbid")

    url: Url = Field(description="Where messages go: https:// on the public internet, or in DERMQ_EGRESS_NETWORKS.")
    events: Annotated[list[EventType], Field(max_length=len(EventType))] = Field(
        default_factory=list, description="Which messages; empty: all."
    )
    job: UUID | None = Field(None, description="Only messages about this job.")


class WebhookObject(BaseModel):
    """A webhook, without its secret."""

    object: Literal["webhook"] = "webhook"
    id: UUID
    url: str
    events: list[str]
    job: UUID | None
    state: Literal["active", "disabled"]
    disabled_reason: str | None
    failing_since: datetime | None = Field(description="The first failure since the last success.")
    created_at: datetime
    created_by: str


class MadeWebhookObject(WebhookObject):
    """A new webhook, or one with a new secret. The secret is shown this once."""

    secret: str


class WebhookList(BaseModel):
    """Oldest first."""

    object: Literal["list"] = "list"
    data: list[WebhookObject]


class DeliveryObject(BaseModel):
    """A message, and what has become of it."""

    object: Literal["delivery"] = "delivery"
    id: UUID
    event: str
    state: Literal["pending", "delivered", "failed"]
    created_at: datetime
    attempts: int
    due_at: datetime | None = Field(description="When it is tried next.")
    last_at: datetime | None
    last_status: int | None = Field(description="Of HTTP; null: no answer.")
    last_error: str | None
    payload: dict[str, Any]


class DeliveryList(BaseModel):
    """Newest first."""

    object: Literal["list"] = "list"
    data: list[DeliveryObject]
