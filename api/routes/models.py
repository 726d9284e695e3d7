"""What is served."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from api.drift import DriftList, list_drift
from api.models import describe_model, list_models
from api.modelschemas import ModelList, ModelObject
from api.openapi import problems
from api.resources import Here, TenantId

router = APIRouter(tags=["models"])

ModelName = Annotated[str, Path(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]+$")]


@router.get("/v1/models", summary="List models", responses=problems(503))
def get_models(here: Here) -> ModelList:
    """What Serving serves: the default model, those of DERMQ_API_MODELS, and those that were promoted or are configured."""
    return ModelList(data=list_models(here))


@router.get("/v1/models/{name}", summary="Look at a model", responses=problems(404, 503))
def get_model(here: Here, name: ModelName) -> ModelObject:
    """Versions with their states and labels, and the ModelSpec. Any model that Serving has, listed or not."""
    return describe_model(here, name, must_exist=True)


@router.get("/v1/models/{name}/drift", summary="How far answers have moved from the test part", responses=problems(404, 503))
def get_drift(here: Here, tenant_id: TenantId, name: ModelName) -> DriftList:
    """By version, over this tenant's jobs that ended in the last 30 days. Versions without a reference are not listed."""
    return DriftList(data=list_drift(here.engine, tenant_id, here.clock.now(), name))
