"""What a worker process holds: opened after the fork, once, and closed with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from core.clock import Clock, SharedClock, SystemClock
from core.db.changes import Changes
from core.db.engine import open_engine, read_time
from core.db.maintenance.rescue import RescuePolicy
from core.db.window import WindowPolicy
from core.messages import Message
from core.settings import Settings
from core.storage.base import ObjectStorage
from core.storage.factory import open_storage
from serving.client import PredictClient
from worker.archivecache import ArchiveCache
from worker.batchlimits import BatchLimits
from worker.ownership import owner_id
from worker.presence import Presence
from worker.telemetry import metrics

if TYPE_CHECKING:
    from worker.maintenance.scan import Scan


@dataclass
class WorkerContext:
    """Connections and settings of one process."""

    settings: Settings
    engine: Engine
    storage: ObjectStorage
    client: PredictClient
    publish: Callable[[Iterable[Message]], None]
    clock: Clock = field(default_factory=SystemClock)
    owner: str = field(default_factory=owner_id)
    scan: Scan | None = None  # of the storage, under way in this process

    def __post_init__(self) -> None:
        self.archives = ArchiveCache(self.storage, self.settings)
        self.batch_limits = BatchLimits()
        self.changes = Changes(self.engine)
        self.presence = Presence(self.engine, self.clock, self.owner, self.settings.worker.lease_s)

    @classmethod
    def open(cls, settings: Settings, publish: Callable[[Iterable[Message]], None]) -> WorkerContext:
        """Make engine, storage and client. Nothing connects before its first use."""
        engine = open_engine(settings.database_url, settings.database)
        return cls(
            settings=settings,
            engine=engine,
            storage=open_storage(settings.storage_url, settings.storage),
            client=PredictClient(
                settings.serving.address,
                settings.serving.timeout_s,
                on_retry=metrics.PREDICT_RETRIES.add,
                security=settings.serving,
            ),
            publish=publish,
            clock=SharedClock(lambda: read_time(engine)),
        )

    @property
    def window(self) -> WindowPolicy:
        """The dispatch window's size and patience."""
        return WindowPolicy(self.settings.worker.window, self.settings.worker.republish_s)

    @property
    def rescue(self) -> RescuePolicy:
        """When chunks are given up as a whole."""
        worker = self.settings.worker
        return RescuePolicy(
            self.window,
            worker.max_crashes,
            worker.max_crashes_alone,
            patience_s=worker.lease_s,
            observed_since=self.presence.since,
            backoff_s=worker.backoff_s,
        )

    def close(self) -> None:
        """Release everything."""
        self.presence.stop()
        self.archives.close()
        self.client.close()
        self.changes.close()
        self.engine.dispose()
