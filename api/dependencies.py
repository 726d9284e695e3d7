"""What routes ask for: the process's resources, and whose request this is."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request

from api.resources import Resources
from core.db.models import LOCAL_TENANT_ID


def current_resources(request: Request) -> Resources:
    """What the lifespan opened."""
    resources: Resources = request.app.state.resources
    return resources


def current_tenant() -> UUID:
    """Whose jobs the request may see. Without keys there is one tenant, and the server is reached from this machine only."""
    return LOCAL_TENANT_ID


Here = Annotated[Resources, Depends(current_resources)]
TenantId = Annotated[UUID, Depends(current_tenant)]
