"""Administration in the browser: what /v1/admin and /v1/webhooks do, as forms without a script. For the scope `admin`.

A form is answered with a redirect to the page, or with a page that shows a new secret, once. That another site cannot send one
for a signed-in reader is seen to in api.origins and api.access.authentication.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from starlette.concurrency import run_in_threadpool

from api.admin.schemas import NewKeyRequest, NewTenantRequest, RotationRequest, TenantChange
from api.admin.views import audit_object, key_object
from api.intake.requests import merge
from api.pages.forms import read_form
from api.pages.rendering import render
from api.pages.routing import PageRoute
from api.resources import CallerHere, Here
from api.routes.admin import KeyPath, TenantPath, change_tenant, make_key, make_tenant, post_revocation, replace_key
from api.routes.webhooks import make_webhook
from api.webhooks.schemas import NewWebhookRequest
from core.access.scopes import Scope
from core.db.access.audit import newest_audit
from core.db.access.keys import list_keys
from core.db.access.tenants import list_tenants
from core.db.engine import reading, transaction
from core.db.processes import count_heard
from core.db.throughput import read_backlog
from core.db.webhooks.store import delete_webhook, get_webhook, list_deliveries, list_webhooks, replay, rotate_secret
from core.webhooks import EventType

router = APIRouter(route_class=PageRoute, include_in_schema=False)

_LIMITS = ("weight", "max_jobs", "max_items", "max_bytes", "max_requests", "retention_days")
_RECORDS, _MESSAGES = 30, 5


@router.get("/admin")
def show_admin(here: Here) -> Response:
    """All at a glance, and the forms."""
    with reading(here.engine) as session:
        now = here.clock.now()
        tenants = list_tenants(session)
        webhooks = list_webhooks(session)
        context: dict[str, Any] = {
            "tenants": tenants,
            "names": {tenant.id: tenant.name for tenant in tenants},
            "keys": [key_object(key, whose, now) for key, whose in list_keys(session)],
            "webhooks": webhooks,
            "messages": {each.id: list_deliveries(session, each.id, limit=_MESSAGES) for each in webhooks},
            "records": [audit_object(each) for each in newest_audit(session, limit=_RECORDS)],
            "backlog": read_backlog(session),
            "workers": count_heard(session, now - timedelta(seconds=here.settings.worker.lease_s))[0],
        }
    return render("admin.html", page="admin", limits=_LIMITS, scopes=list(Scope), events=list(EventType), **context)


@router.post("/admin/tenants", response_model=None)
async def post_tenant(request: Request, here: Here, caller: CallerHere) -> Response:
    """Make a tenant."""
    wanted = merge(NewTenantRequest, None, dict(await read_form(request)))
    await run_in_threadpool(make_tenant, here, caller, wanted)
    return _back("tenants")


@router.post("/admin/tenants/{tenant}", response_model=None)
async def post_limits(request: Request, here: Here, caller: CallerHere, tenant: TenantPath) -> Response:
    """Set all limits of a tenant, an empty field being none; suspend or resume it."""
    form = await read_form(request)
    values: dict[str, Any] = {name: form.get(name) for name in _LIMITS} if "weight" in form else {}
    if "suspended" in form:
        values["suspended"] = form["suspended"]
    await run_in_threadpool(change_tenant, here, caller, tenant, merge(TenantChange, None, values))
    return _back("tenants")


@router.post("/admin/keys", response_model=None)
async def post_key(request: Request, here: Here, caller: CallerHere) -> Response:
    """Make a key, and show it."""
    form: dict[str, Any] = dict(await read_form(request))
    form["scopes"] = form.get("scopes", "").split()
    made = await run_in_threadpool(make_key, here, caller, merge(NewKeyRequest, None, form))
    return _secret(f"Key “{made.name}” of tenant {made.tenant}", made.key)


@router.post("/admin/keys/{key_id}/rotate", response_model=None)
async def post_rotation(request: Request, here: Here, caller: CallerHere, key_id: KeyPath) -> Response:
    """Replace a key, and show the new one."""
    wanted = merge(RotationRequest, None, dict(await read_form(request)))
    made = await run_in_threadpool(replace_key, here, caller, key_id, wanted)
    return _secret(f"Key “{made.name}” of tenant {made.tenant}", made.key)


@router.post("/admin/keys/{key_id}/revoke", response_model=None)
def post_revoked(here: Here, caller: CallerHere, key_id: KeyPath) -> Response:
    """Revoke a key."""
    post_revocation(here, caller, key_id)
    return _back("keys")


@router.post("/admin/webhooks", response_model=None)
async def post_webhook(request: Request, here: Here, caller: CallerHere) -> Response:
    """Make a webhook of any tenant, and show its secret."""
    form: dict[str, Any] = dict(await read_form(request))
    tenant = form.pop("tenant", "")
    form["events"] = form.get("events", "").split()
    made = await run_in_threadpool(make_webhook, here, caller, merge(NewWebhookRequest, None, form), tenant)
    return _secret(f"Webhook {made.url}", made.secret)


@router.post("/admin/webhooks/{webhook_id}/rotate", response_model=None)
def post_new_secret(here: Here, caller: CallerHere, webhook_id: UUID) -> Response:
    """Replace a webhook's secret, and show the new one."""
    with transaction(here.engine) as session:
        webhook = rotate_secret(session, caller, get_webhook(session, webhook_id), here.clock.now())
        return _secret(f"Webhook {webhook.url}", webhook.secret)


@router.post("/admin/webhooks/{webhook_id}/delete", response_model=None)
def post_deletion(here: Here, caller: CallerHere, webhook_id: UUID) -> Response:
    """Delete a webhook."""
    with transaction(here.engine) as session:
        delete_webhook(session, caller, get_webhook(session, webhook_id), here.clock.now())
    return _back("webhooks")


@router.post("/admin/webhooks/{webhook_id}/deliveries/{delivery_id}/replay", response_model=None)
def post_again(here: Here, caller: CallerHere, webhook_id: UUID, delivery_id: UUID) -> Response:
    """Send a message again."""
    with transaction(here.engine) as session:
        replay(session, caller, get_webhook(session, webhook_id), delivery_id, here.clock.now())
    return _back("webhooks")


def _back(section: str) -> Response:
    return RedirectResponse(f"/admin#{section}", 303, {"Cache-Control": "no-store"})


def _secret(what: str, secret: str) -> Response:
    return render("secret.html", page="admin", what=what, secret=secret)
