"""What goes over HTTP of tenants, keys and the audit."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from core.access.scopes import Scope

Count = Annotated[int, Field(ge=0, le=2**31 - 1)]
TenantName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
KeyName = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")]


class Limits(BaseModel):
    """What a tenant may use; null: no limit."""

    model_config = ConfigDict(extra="forbid")

    weight: Annotated[int, Field(ge=1, le=1000)] = Field(1, description="Its share of the workers beside other tenants.")
    max_jobs: Count | None = Field(None, description="Jobs that have not ended.")
    max_items: Count | None = Field(None, description="Items without a result, of all its jobs.")
    max_bytes: Annotated[int, Field(ge=0, le=2**63 - 1)] | None = Field(None, description="Bytes of stored uploads.")
    max_requests: Count | None = Field(None, description="Requests in a minute, to one API process.")
    retention_days: Annotated[float, Field(ge=0, le=36_500)] | None = Field(
        None, description="How long its ended jobs are kept at most."
    )


class NewTenantRequest(Limits):
    """A tenant to be made."""

    name: TenantName


class TenantChange(Limits):
    """What is to change of a tenant; what is not named stays."""

    suspended: bool | None = Field(None, description="Whether none of its keys works.")


class TenantObject(Limits):
    """A tenant."""

    object: Literal["tenant"] = "tenant"
    id: UUID
    name: str
    created_at: datetime
    suspended_at: datetime | None


class TenantList(BaseModel):
    """All tenants, by name."""

    object: Literal["list"] = "list"
    data: list[TenantObject]


class NewKeyRequest(BaseModel):
    """A key to be made."""

    model_config = ConfigDict(extra="forbid")

    name: KeyName = Field(description="Who or what uses it.")
    tenant: str = Field("default", max_length=63, description="Whose key: a name or an id.")
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=len(Scope))] = Field(
        default_factory=lambda: [Scope.SUBMIT, Scope.READ, Scope.REVIEW]
    )
    expires_in_days: Annotated[int, Field(ge=1, le=36_500)] | None = Field(None, description="Null: it works for ever.")


class RotationRequest(BaseModel):
    """How the old key ends."""

    model_config = ConfigDict(extra="forbid")

    overlap_hours: Annotated[float, Field(ge=0, le=8760)] = Field(0.0, description="How long the old key still works.")


class KeyObject(BaseModel):
    """A key, without the key itself."""

    object: Literal["key"] = "key"
    id: UUID
    tenant: str
    name: str
    hint: str = Field(description="How the key begins.")
    scopes: list[str]
    state: Literal["active", "expired", "revoked"]
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None = Field(description="To the minute.")


class MadeKeyObject(KeyObject):
    """A new key. It is shown this once."""

    key: str


class KeyList(BaseModel):
    """Keys, oldest first."""

    object: Literal["list"] = "list"
    data: list[KeyObject]


class AuditObject(BaseModel):
    """One record of the audit."""

    id: int
    at: datetime
    actor: str
    key: UUID | None
    tenant: UUID | None
    action: str
    object_id: str
    detail: dict[str, Any]


class AuditList(BaseModel):
    """Records in their order; `next` is the `after` of the next page."""

    object: Literal["list"] = "list"
    data: list[AuditObject]
    next: int | None
