"""What is served."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from api.models import describe_model, list_models
from api.openapi import problems
from api.resources import Here
from api.schemas import ModelList, ModelObject

router = APIRouter(tags=["models"])


@router.get("/v1/models", summary="List models", responses=problems(503))
def get_models(here: Here) -> ModelList:
    """What Serving serves: the default model, those of DERMQ_API_MODELS, and those that were promoted or are configured."""
    return ModelList(data=list_models(here))


@router.get("/v1/models/{name}", summary="Look at a model", responses=problems(404, 503))
def get_model(
    here: Here, name: Annotated[str, Path(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]+$")]
) -> ModelObject:
    """Versions with their states and labels, and the ModelSpec. Any model that Serving has, listed or not."""
    return describe_model(here, name, must_exist=True)
