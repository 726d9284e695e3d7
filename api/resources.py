"""What every request may use: opened in the lifespan, closed with it, found on the application's state."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from sqlalchemy import Engine

from api.publisher import Publisher
from core.clock import Clock, SystemClock
from core.settings import Settings
from core.storage.base import ObjectStorage
from serving.client import PredictClient


@dataclass(frozen=True)
class Resources:
    """Engine, storage, publisher and PredictClient of one process."""

    settings: Settings
    engine: Engine
    storage: ObjectStorage
    publisher: Publisher
    client: PredictClient
    clock: Clock = field(default_factory=SystemClock)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)  # set when the server wants to end: streams end themselves
