"""Groups of a job that has ended, by likeness or by a column of its table: made once for each state of it, kept in memory."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy.orm import Session

from api.results.recent import Recent
from core.db.duplicates import read_duplicates
from core.db.itemgroups import ItemGroup, read_item_groups
from core.db.models import TERMINAL_STATES, Job
from core.evaluation.duplicates import Groups

_KEPT = 16
_KEPT_GROUPS = 4  # with four bytes an item
_PASSING_S = 10.0


@dataclass
class DuplicateCache:
    """The groups of the last jobs that were asked for."""

    held: Recent[tuple[UUID, int], Groups | None] = field(default_factory=lambda: Recent(_KEPT))

    def groups(self, session: Session, job: Job) -> Groups | None:
        """Item → first item of its group; None while the job runs, and where its items have no hashes."""
        if job.state not in TERMINAL_STATES:
            return None
        return self.held.get((job.id, job.revision), lambda: read_duplicates(session, job.id))


@dataclass
class GroupCache:
    """Items by a column of the table, of the last jobs that were asked for."""

    held: Recent[tuple[UUID, int, str], list[ItemGroup]] = field(default_factory=lambda: Recent(_KEPT_GROUPS))
    monotonic: Callable[[], float] = time.monotonic
    _passing: OrderedDict[tuple[UUID, str], tuple[float, list[ItemGroup]]] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)  # of `_passing`

    def groups(self, session: Session, job: Job, column: str) -> list[ItemGroup]:
        """As core.db.itemgroups.read_item_groups has them.

        Of a job that runs, they are held for ten times as long as it took to read all rows, _PASSING_S at most.
        """
        if job.state in TERMINAL_STATES:
            with self._lock:
                self._passing.pop((job.id, column), None)
            return self.held.get((job.id, job.revision, column), lambda: read_item_groups(session, job.id, column))
        with self._lock:
            until, known = self._passing.get((job.id, column), (0.0, []))
        began = self.monotonic()
        if began < until:
            return known
        found = read_item_groups(session, job.id, column)
        ended = self.monotonic()
        with self._lock:
            self._passing[job.id, column] = ended + min(_PASSING_S, 10 * (ended - began)), found
            self._passing.move_to_end((job.id, column))
            while len(self._passing) > _KEPT_GROUPS:
                self._passing.popitem(last=False)
        return found
