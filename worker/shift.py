"""How long a process goes on with one wake-up, and when it looks up from its work."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

from core.db.chunks import Claim
from core.db.engine import reading
from core.db.turns import Outlook, look_around
from worker.context import WorkerContext
from worker.telemetry.stopwatch import Stopwatch

SHIFT_S = 1.0  # no chunk is claimed later than this; Celery looks at its queues then
LOOK_S = 0.1  # time between two looks at whose turn it is and whether the job is still wanted
LONGEST_LOOK_S = 1.0  # the same where a job was alone and nobody has written since: the wait of another one may be over
INTERRUPTIONS = 2  # chunks given up in one shift: more would only find out again that something is away

_GOES_ON = Outlook(wanted=True)


@dataclass(slots=True)
class Shift:
    """One wake-up's work. Not for several threads."""

    length_s: float = SHIFT_S
    began: float = field(default_factory=time.monotonic)
    interruptions: int = 0
    _prepare_waits: bool = False
    _looked: float = field(default_factory=time.monotonic)
    _asked: float = field(default_factory=time.monotonic)
    _alone_at: int | None = None  # the ledger's mark at which the last answer was that the job is alone

    def note_interruption(self) -> None:
        """A chunk came to no end."""
        self.interruptions += 1

    @property
    def is_over(self) -> bool:
        """Whether no further chunk shall be claimed."""
        late = time.monotonic() - self.began >= self.length_s
        return late or self._prepare_waits or not self.passes_on

    @property
    def passes_on(self) -> bool:
        """Whether the next wake-up is sent at the end. After some interruptions it is left to the sweep."""
        return self.interruptions < INTERRUPTIONS

    def look_around(self, context: WorkerContext, claim: Claim, stopwatch: Stopwatch) -> Outlook:
        """Between two batches: at most every LOOK_S a question to the ledger, else "go on"."""
        now = time.monotonic()
        if now - self._looked < LOOK_S:
            return _GOES_ON
        self._looked = now
        mark = context.changes.mark()  # before the question: what is written during it is seen the next time
        if mark is not None and mark == self._alone_at and now - self._asked < LONGEST_LOOK_S:
            return _GOES_ON
        with reading(context.engine) as session:
            outlook = look_around(session, claim.job_id, stopwatch.busy_s(), context.clock.now())
        self._looked = self._asked = time.monotonic()
        self._alone_at = mark if outlook.alone else None
        self._prepare_waits = self._prepare_waits or outlook.prepare_waits
        return replace(outlook, gives_way=outlook.gives_way or outlook.prepare_waits)
