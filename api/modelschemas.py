"""What goes over HTTP of models."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field


class Promotion(BaseModel):
    """The last time that a label was put on a version."""

    label: str
    by: str = Field(examples=["ada@ward7"])
    at: datetime


class VersionObject(BaseModel):
    """One version of a model as Serving reports it."""

    version: int
    state: str = Field(examples=["AVAILABLE"])
    labels: list[str]
    error: str | None
    spec: dict[str, Any] | None = Field(None, description="What this version says of itself, while it is AVAILABLE.")
    promoted: Promotion | None = None


class ModelObject(BaseModel):
    """A served model: versions, labels, and what the stable (else the latest) version says of itself."""

    object: Literal["model"] = "model"
    name: str
    default: bool
    versions: list[VersionObject]
    labels: dict[str, int]
    spec: dict[str, Any] | None = Field(
        description="The ModelSpec: classes, input size, malignant classes, thresholds, metrics."
    )
    error: str | None


class ModelList(BaseModel):
    """All models that this server offers."""

    object: Literal["list"] = "list"
    data: list[ModelObject]
    next: str | None = None
