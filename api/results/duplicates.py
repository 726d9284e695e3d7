"""Groups of a job that has ended, by likeness or by a column of its table: made once for each state of it, kept in memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
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


class GroupCache:
    """Items by a column of the table, of the last jobs that were asked for."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Nothing is held yet; `monotonic` is in seconds."""
        self._held: Recent[tuple[UUID, int | None, str], list[ItemGroup]] = Recent(_KEPT_GROUPS, monotonic)

    def groups(self, session: Session, job: Job, column: str) -> list[ItemGroup]:
        """As core.db.itemgroups.read_item_groups has them.

        Of a job that runs, they are held for ten times as long as it took to read all rows, _PASSING_S at most.
        """
        read = partial(read_item_groups, session, job.id, column)
        if job.state in TERMINAL_STATES:
            return self._held.get((job.id, job.revision, column), read)
        return self._held.get((job.id, None, column), read, lambda took_s: min(_PASSING_S, 10 * took_s))
