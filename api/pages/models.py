"""What is served: versions, labels, and what each version says of itself."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from api.drift import list_drift
from api.pages.rendering import render
from api.pages.routing import PageRoute
from api.resources import Here, TenantId
from api.routes.models import get_models

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/models")
def show_models(here: Here, tenant_id: TenantId) -> HTMLResponse:
    """The default model and those that the operator lists, with what the tenant's jobs say about drift."""
    drift = {(each.model, each.version): each for each in list_drift(here.engine, tenant_id, here.clock.now())}
    return render("models.html", page="models", models=get_models(here).data, drift=drift)
