"""What routes ask for: the resources of the process, and whose request this is.

Resources are opened in the lifespan, closed with it, and found on the application's state.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request
from sqlalchemy import Engine

from api.access.authorization import current_caller
from api.drift import DriftFigures
from api.interactive.direct import DirectClassifier
from api.pictures import PictureMaker
from api.publisher import Publisher
from api.results.duplicates import DuplicateCache, GroupCache
from api.results.recent import Recent
from api.results.reports import KEPT, ReportCache
from core.access.callers import Caller
from core.clock import Clock, SystemClock
from core.settings import Settings
from core.storage.base import ObjectStorage
from serving.client import PredictClient

KEPT_OVERVIEWS = 4  # of 3 MB for 100,000 rows


@dataclass(frozen=True)
class Resources:
    """Engine, storage, publisher, PredictClient and what decodes images of one process."""

    settings: Settings
    engine: Engine
    storage: ObjectStorage
    publisher: Publisher
    client: PredictClient
    pictures: PictureMaker
    direct: DirectClassifier
    drift: DriftFigures = field(default_factory=DriftFigures)
    duplicates: DuplicateCache = field(default_factory=DuplicateCache)
    groups: GroupCache = field(default_factory=GroupCache)
    overviews: Recent[Hashable, str] = field(default_factory=lambda: Recent(KEPT_OVERVIEWS))
    reports: ReportCache = field(default_factory=lambda: Recent(KEPT))
    clock: Clock = field(default_factory=SystemClock)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)  # set when the server wants to end: streams end themselves


def current_resources(request: Request) -> Resources:
    """What the lifespan opened."""
    resources: Resources = request.app.state.resources
    return resources


# Not sync: FastAPI hands each sync dependency of a route to a thread and back, which costs more than all that they do.


async def _resources(request: Request) -> Resources:
    return current_resources(request)


async def _caller(request: Request) -> Caller:
    return current_caller(request)


async def _tenant(request: Request) -> UUID:
    """Whose jobs the request may see."""
    return current_caller(request).tenant_id


Here = Annotated[Resources, Depends(_resources)]
TenantId = Annotated[UUID, Depends(_tenant)]
CallerHere = Annotated[Caller, Depends(_caller)]
