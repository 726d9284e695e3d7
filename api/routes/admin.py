"""/v1/admin: tenants, keys and the audit, for keys with the scope `admin` (api/access/policy.py)."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from api.admin.schemas import (
    AuditList,
    KeyList,
    KeyObject,
    MadeKeyObject,
    NewKeyRequest,
    NewTenantRequest,
    RotationRequest,
    TenantChange,
    TenantList,
    TenantObject,
)
from api.admin.views import audit_object, key_fields, key_object, tenant_object
from api.intake.requests import merge, read_json
from api.openapi import inlined, problems
from api.resources import CallerHere, Here, Resources
from core.access.callers import Caller
from core.db.access.audit import list_audit
from core.db.access.keys import MadeKey, NewKey, create_key, get_key, list_keys, revoke_key, rotate_key
from core.db.access.tables import ApiKey
from core.db.access.tenants import (
    Quotas,
    create_tenant,
    delete_tenant,
    find_tenant,
    limit_tenant,
    list_tenants,
    resume_tenant,
    suspend_tenant,
)
from core.db.engine import reading, transaction
from core.db.models import Tenant
from core.errors import ConflictError

router = APIRouter(tags=["admin"], prefix="/v1/admin")

TenantPath = Annotated[str, Path(max_length=63, description="A name or an id.")]
KeyPath = Annotated[str, Path(max_length=63, description="The key's id, never the key itself.")]


def _body(model: type[BaseModel], *, required: bool = True) -> dict[str, Any]:
    return {"requestBody": {"required": required, "content": {"application/json": {"schema": inlined(model)}}}}


@router.get("/tenants", summary="List tenants", responses=problems(503))
def get_tenants(here: Here) -> TenantList:
    """All of them, by name."""
    with reading(here.engine) as session:
        return TenantList(data=[tenant_object(each) for each in list_tenants(session)])


@router.post(
    "/tenants",
    status_code=201,
    summary="Make a tenant",
    responses=problems(400, 409, 413, 422, 503),
    openapi_extra=_body(NewTenantRequest),
)
async def post_tenant(request: Request, here: Here, caller: CallerHere) -> TenantObject:
    """It has no keys yet."""
    wanted = merge(NewTenantRequest, None, await read_json(request))
    return await run_in_threadpool(make_tenant, here, caller, wanted)


@router.get("/tenants/{tenant}", summary="Look at a tenant", responses=problems(404, 422, 503))
def get_tenant(here: Here, tenant: TenantPath) -> TenantObject:
    """Its limits and state."""
    with reading(here.engine) as session:
        return tenant_object(find_tenant(session, tenant))


@router.patch(
    "/tenants/{tenant}",
    summary="Limit, suspend or resume a tenant",
    responses=problems(400, 404, 409, 413, 422, 503),
    openapi_extra=_body(TenantChange),
)
async def patch_tenant(request: Request, here: Here, caller: CallerHere, tenant: TenantPath) -> TenantObject:
    """What is not named stays. A suspended tenant's keys do not work from the next request on; its jobs run on."""
    wanted = merge(TenantChange, None, await read_json(request))
    return await run_in_threadpool(change_tenant, here, caller, tenant, wanted)


@router.delete("/tenants/{tenant}", status_code=204, summary="Delete a tenant", responses=problems(404, 409, 422, 503))
def remove_tenant(here: Here, caller: CallerHere, tenant: TenantPath) -> None:
    """With its keys. Its jobs must have been deleted before."""
    with transaction(here.engine) as session:
        delete_tenant(session, caller, find_tenant(session, tenant), here.clock.now())


@router.get("/keys", summary="List keys", responses=problems(404, 422, 503))
def get_keys(
    here: Here, tenant: Annotated[str | None, Query(max_length=63, description="Only this tenant's.")] = None
) -> KeyList:
    """Never the keys themselves."""
    with reading(here.engine) as session:
        tenant_id = find_tenant(session, tenant).id if tenant else None
        now = here.clock.now()
        return KeyList(data=[key_object(key, whose, now) for key, whose in list_keys(session, tenant_id)])


@router.post(
    "/keys",
    status_code=201,
    summary="Make a key",
    responses=problems(400, 404, 413, 422, 503),
    openapi_extra=_body(NewKeyRequest),
)
async def post_key(request: Request, response: Response, here: Here, caller: CallerHere) -> MadeKeyObject:
    """`key` is shown this once: only its SHA-256 is stored."""
    wanted = merge(NewKeyRequest, None, await read_json(request))
    response.headers["Cache-Control"] = "no-store"
    return await run_in_threadpool(make_key, here, caller, wanted)


@router.post(
    "/keys/{key_id}/rotate",
    status_code=201,
    summary="Replace a key",
    responses=problems(400, 404, 413, 422, 503),
    openapi_extra=_body(RotationRequest, required=False),
)
async def post_rotation(request: Request, response: Response, here: Here, caller: CallerHere, key_id: KeyPath) -> MadeKeyObject:
    """A new key like the old one, which ends at once or after an overlap."""
    wanted = merge(RotationRequest, None, await read_json(request))
    response.headers["Cache-Control"] = "no-store"
    return await run_in_threadpool(replace_key, here, caller, key_id, wanted)


@router.post("/keys/{key_id}/revoke", summary="Revoke a key", responses=problems(404, 409, 422, 503))
def post_revocation(here: Here, caller: CallerHere, key_id: KeyPath) -> KeyObject:
    """It does not work from the next request on. The key that asks for it can be rotated, not revoked."""
    now = here.clock.now()
    with transaction(here.engine) as session:
        key = get_key(session, key_id)
        if key.id == caller.key_id:
            raise ConflictError("this very key shows itself: rotate it, or revoke it with another key")
        return key_object(revoke_key(session, caller, key, now), _name_of(session, key), now)


@router.get("/audit", summary="Who did what", responses=problems(404, 422, 503))
def get_audit(
    here: Here,
    tenant: Annotated[str | None, Query(max_length=63, description="Only what belongs to this tenant.")] = None,
    after: Annotated[int, Query(ge=0, le=2**31 - 1, description="Only records behind this number.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> AuditList:
    """Records in their order, oldest first."""
    with reading(here.engine) as session:
        tenant_id = find_tenant(session, tenant).id if tenant else None
        found = list_audit(session, tenant_id=tenant_id, after=after, limit=limit)
    return AuditList(data=[audit_object(each) for each in found], next=found[-1].id if len(found) == limit else None)


def make_tenant(here: Resources, caller: Caller, wanted: NewTenantRequest) -> TenantObject:
    """A new tenant, as it is shown."""
    quotas = Quotas(**wanted.model_dump(exclude={"name", "weight"}))
    with transaction(here.engine) as session:
        return tenant_object(create_tenant(session, caller, wanted.name, here.clock.now(), quotas=quotas, weight=wanted.weight))


def change_tenant(here: Resources, caller: Caller, name: str, wanted: TenantChange) -> TenantObject:
    """A changed tenant, as it is shown."""
    now = here.clock.now()
    with transaction(here.engine) as session:
        tenant = find_tenant(session, name)
        changes = wanted.model_dump(exclude_unset=True, exclude={"suspended"})
        if changes:
            limit_tenant(session, caller, tenant, changes, now)
        if wanted.suspended is not None:
            _suspend(session, caller, tenant, here, suspended=wanted.suspended)
        return tenant_object(tenant)


def _suspend(session: Session, caller: Caller, tenant: Tenant, here: Resources, *, suspended: bool) -> None:
    if not suspended:
        resume_tenant(session, caller, tenant, here.clock.now())
        return
    if caller.key_id is not None and caller.tenant_id == tenant.id:
        raise ConflictError(f"the tenant {tenant.name!r} is the one of this very key: nobody could resume it with it")
    suspend_tenant(session, caller, tenant, here.clock.now())


def make_key(here: Resources, caller: Caller, wanted: NewKeyRequest) -> MadeKeyObject:
    """A new key, with its text, as it is shown this once."""
    now = here.clock.now()
    ends = now + timedelta(days=wanted.expires_in_days) if wanted.expires_in_days else None
    with transaction(here.engine) as session:
        tenant = find_tenant(session, wanted.tenant)
        made = create_key(session, caller, NewKey(tenant.id, wanted.name, frozenset(wanted.scopes), ends), now)
        return _shown(here, made, tenant.name)


def replace_key(here: Resources, caller: Caller, key_id: str, wanted: RotationRequest) -> MadeKeyObject:
    """The same for a key in the place of another one."""
    overlap = timedelta(hours=wanted.overlap_hours)
    with transaction(here.engine) as session:
        key = get_key(session, key_id)
        made = rotate_key(session, caller, key, here.clock.now(), overlap=overlap)
        return _shown(here, made, _name_of(session, key))


def _shown(here: Resources, made: MadeKey, tenant: str) -> MadeKeyObject:
    return MadeKeyObject(**key_fields(made.key, tenant, here.clock.now()), key=made.token)


def _name_of(session: Session, key: ApiKey) -> str:
    return find_tenant(session, str(key.tenant_id)).name
