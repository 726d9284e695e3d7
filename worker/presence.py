"""A worker process's sign of life in the ledger: renews its record and the lease of what it holds, from a thread of its own.

So a lease is short, and a chunk of a dead worker is taken up soon, while a chunk that takes long keeps its lease. A process
whose threads stand still (stopped, or hung in native code) renews nothing and loses what it holds.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Engine

from core.clock import Clock, SharedClock
from core.db.chunks import Claim, renew_chunk
from core.db.engine import transaction
from core.db.preparing import PrepareClaim, renew_prepare
from core.db.processes import forget_process, note_alive
from core.errors import DatabaseUnavailableError
from core.telemetry.logs import get_logger

log = get_logger(__name__)

RENEWALS = 3  # in the time of one lease


@dataclass
class Presence:
    """What this process holds, and since when it has reached the database without a gap."""

    engine: Engine
    clock: Clock
    owner: str
    lease_s: float
    since: datetime | None = None
    _seen: datetime | None = None
    _held: Claim | PrepareClaim | None = None
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to renew, without waiting for the database: Celery kills a child that is not up within seconds."""
        self._thread = threading.Thread(target=self._run, name="presence", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the record: this process ends in order and holds nothing."""
        self._stop.set()
        if self._thread is None:
            return
        self._thread.join(timeout=self.lease_s)
        try:
            with transaction(self.engine) as session:
                forget_process(session, self.owner)
        except DatabaseUnavailableError as error:
            log.info("process_not_signed_off", owner=self.owner, error=str(error), consequence="its record is removed later")

    @contextmanager
    def holding(self, claim: Claim | PrepareClaim) -> Iterator[None]:
        """Renew this claim's lease, too, until the block is left."""
        self._held = claim
        try:
            yield
        finally:
            self._held = None

    def beat(self) -> None:
        """Renew once: clock, record, and the lease of what is held."""
        held = self._held
        try:
            if isinstance(self.clock, SharedClock):
                self.clock.sync()
            now = self.clock.now()
            with transaction(self.engine) as session:
                note_alive(session, self.owner, now)
                if isinstance(held, Claim):
                    renew_chunk(session, held, now, self.lease_s)
                elif held is not None:
                    renew_prepare(session, held, now, self.lease_s)
        except DatabaseUnavailableError as error:
            log.warning("lease_not_renewed", owner=self.owner, error=str(error))
            return
        gap = self._seen is None or now - self._seen > timedelta(seconds=self.lease_s)
        self.since = now if gap or self.since is None else self.since
        self._seen = now

    def _run(self) -> None:
        self.beat()
        while not self._stop.wait(self.lease_s / RENEWALS):
            self.beat()
