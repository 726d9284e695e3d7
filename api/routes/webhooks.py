"""/v1/webhooks: addresses of a tenant that messages about its jobs, and about models, are sent to (core/webhooks.py)."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from api.intake.requests import merge, read_json
from api.openapi import inlined, problems
from api.resources import CallerHere, Here, Resources, TenantId
from api.webhooks.schemas import (
    DeliveryList,
    DeliveryObject,
    MadeWebhookObject,
    NewWebhookRequest,
    WebhookList,
    WebhookObject,
)
from api.webhooks.views import delivery_object, made_webhook_object, webhook_object
from core.access.callers import Caller
from core.db.access.tenants import find_tenant
from core.db.engine import reading, transaction
from core.db.webhooks.store import (
    NewWebhook,
    create_webhook,
    delete_webhook,
    get_webhook,
    list_deliveries,
    list_webhooks,
    replay,
    rotate_secret,
)
from core.egress.addresses import check_target

router = APIRouter(tags=["webhooks"], prefix="/v1/webhooks")


@router.get("", summary="List webhooks", responses=problems(503))
def get_webhooks(here: Here, tenant_id: TenantId) -> WebhookList:
    """Those of this tenant, with those of single jobs."""
    with reading(here.engine) as session:
        return WebhookList(data=[webhook_object(each) for each in list_webhooks(session, tenant_id)])


@router.post(
    "",
    status_code=201,
    summary="Make a webhook",
    responses=problems(400, 404, 409, 413, 422, 503),
    openapi_extra={"requestBody": {"required": True, "content": {"application/json": {"schema": inlined(NewWebhookRequest)}}}},
)
async def post_webhook(request: Request, response: Response, here: Here, caller: CallerHere) -> MadeWebhookObject:
    """`secret` is shown this once. It verifies messages, as Standard Webhooks says."""
    wanted = merge(NewWebhookRequest, None, await read_json(request))
    response.headers["Cache-Control"] = "no-store"
    return await run_in_threadpool(make_webhook, here, caller, wanted)


@router.get("/{webhook_id}", summary="Look at a webhook", responses=problems(404, 503))
def get_one_webhook(here: Here, tenant_id: TenantId, webhook_id: UUID) -> WebhookObject:
    """Whether it is active, and since when it fails."""
    with reading(here.engine) as session:
        return webhook_object(get_webhook(session, webhook_id, tenant_id))


@router.delete("/{webhook_id}", status_code=204, summary="Delete a webhook", responses=problems(404, 503))
def remove_webhook(here: Here, caller: CallerHere, webhook_id: UUID) -> None:
    """With its messages."""
    with transaction(here.engine) as session:
        delete_webhook(session, caller, get_webhook(session, webhook_id, caller.tenant_id), here.clock.now())


@router.post("/{webhook_id}/rotate", status_code=201, summary="Replace a webhook's secret", responses=problems(404, 503))
def post_rotation(response: Response, here: Here, caller: CallerHere, webhook_id: UUID) -> MadeWebhookObject:
    """For 24 hours messages are signed with both: the new one and the one before."""
    response.headers["Cache-Control"] = "no-store"
    with transaction(here.engine) as session:
        webhook = get_webhook(session, webhook_id, caller.tenant_id)
        return made_webhook_object(rotate_secret(session, caller, webhook, here.clock.now()))


@router.get("/{webhook_id}/deliveries", summary="Messages to a webhook", responses=problems(404, 422, 503))
def get_deliveries(
    here: Here, tenant_id: TenantId, webhook_id: UUID, limit: Annotated[int, Query(ge=1, le=200)] = 50
) -> DeliveryList:
    """Newest first, with the last answer to each."""
    with reading(here.engine) as session:
        webhook = get_webhook(session, webhook_id, tenant_id)
        return DeliveryList(data=[delivery_object(each) for each in list_deliveries(session, webhook.id, limit=limit)])


@router.post(
    "/{webhook_id}/deliveries/{delivery_id}/replay",
    status_code=202,
    summary="Send a message again",
    responses=problems(404, 503),
)
def post_replay(here: Here, caller: CallerHere, webhook_id: UUID, delivery_id: UUID) -> DeliveryObject:
    """With the same id. A webhook that was disabled is enabled by it."""
    with transaction(here.engine) as session:
        webhook = get_webhook(session, webhook_id, caller.tenant_id)
        return delivery_object(replay(session, caller, webhook, delivery_id, here.clock.now()))


def make_webhook(here: Resources, caller: Caller, wanted: NewWebhookRequest, tenant: str | None = None) -> MadeWebhookObject:
    """A new webhook of the caller's tenant, or of the one that is named, with its secret, as it is shown this once."""
    check_target(wanted.url, here.settings.egress.allowed_networks)
    with transaction(here.engine) as session:
        tenant_id = caller.tenant_id if tenant is None else find_tenant(session, tenant).id
        new = NewWebhook(tenant_id, wanted.url, frozenset(wanted.events), wanted.job)
        return made_webhook_object(create_webhook(session, caller, new, here.clock.now()))
