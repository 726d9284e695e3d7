"""Near duplicates of a job that has ended: grouped once for each state of it, and kept in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy.orm import Session

from api.results.recent import Recent
from core.db.duplicates import read_duplicates
from core.db.models import TERMINAL_STATES, Job

_KEPT = 16


@dataclass
class DuplicateCache:
    """The groups of the last jobs that were asked for."""

    held: Recent[tuple[UUID, int], Mapping[int, int] | None] = field(default_factory=lambda: Recent(_KEPT))

    def groups(self, session: Session, job: Job) -> Mapping[int, int] | None:
        """Item → first item of its group; None while the job runs, and where its items have no hashes."""
        if job.state not in TERMINAL_STATES:
            return None
        return self.held.get((job.id, job.revision), lambda: read_duplicates(session, job.id))
