"""Near duplicates of a job that has ended: grouped once for each state of it, and kept in memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy.orm import Session

from core.db.duplicates import read_duplicates
from core.db.models import TERMINAL_STATES, Job

_KEPT = 16


@dataclass
class DuplicateCache:
    """The groups of the last jobs that were asked for."""

    held: OrderedDict[tuple[UUID, int], Mapping[int, int] | None] = field(default_factory=OrderedDict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def groups(self, session: Session, job: Job) -> Mapping[int, int] | None:
        """Item → first item of its group; None while the job runs, and where its items have no hashes."""
        if job.state not in TERMINAL_STATES:
            return None
        key = (job.id, job.revision)
        with self.lock:
            if key not in self.held:
                self.held[key] = read_duplicates(session, job.id)
            self.held.move_to_end(key)
            while len(self.held) > _KEPT:
                self.held.popitem(last=False)
            return self.held[key]
