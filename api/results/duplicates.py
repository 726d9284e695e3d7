"""Groups of a job that has ended, by likeness or by a column of its table: made once for each state of it, kept in memory."""

from __future__ import annotations

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

    def groups(self, session: Session, job: Job, column: str) -> list[ItemGroup]:
        """As core.db.itemgroups.read_item_groups has them. All rows are read again for a job that runs."""
        if job.state not in TERMINAL_STATES:
            return read_item_groups(session, job.id, column)
        return self.held.get((job.id, job.revision, column), lambda: read_item_groups(session, job.id, column))
