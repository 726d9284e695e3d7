"""Where the time of one chunk goes, added up in this process while it runs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

_SCHEDSTAT = Path("/proc/thread-self/schedstat")


class Stage(StrEnum):
    """What a worker process does with its time. Together they are a chunk's whole duration."""

    CLAIM = "claim"  # taking the chunk in the ledger
    READ = "read"  # bytes of members, from the storage
    DECODE = "decode"  # bytes to pixels
    SEND = "send"  # a batch into a request
    PREDICT_WAIT = "predict_wait"  # nothing to do before Serving answers
    COMMIT = "commit"  # outcomes into the ledger
    OTHER = "other"  # opening the archive, asking whether the job is still wanted, making rows


@dataclass(frozen=True, slots=True)
class CoreSeconds:
    """Of this thread, since it began."""

    running: float
    waiting: float  # ready to run, with no core free


def read_core_seconds() -> CoreSeconds:
    """proc(5), schedstat of the calling thread; zeros where the kernel keeps no such account."""
    try:
        running, waiting, _ = _SCHEDSTAT.read_text().split()
    except (OSError, ValueError):
        return CoreSeconds(0.0, 0.0)
    return CoreSeconds(int(running) / 1e9, int(waiting) / 1e9)


@dataclass(slots=True)
class Stopwatch:
    """A stopwatch for one chunk. The per-image parts are added by those who read and decode."""

    began: float = field(default_factory=time.monotonic)
    core_began: CoreSeconds = field(default_factory=read_core_seconds)
    read_s: float = 0.0
    decode_s: float = 0.0
    send_s: float = 0.0
    predict_wait_s: float = 0.0
    claim_s: float = 0.0
    commit_s: float = 0.0

    @contextmanager
    def committing(self) -> Iterator[None]:
        """Measure a commit."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.commit_s += time.monotonic() - began

    def busy_s(self) -> float:
        """Since the task took the chunk up."""
        return time.monotonic() - self.began

    def starved_s(self) -> float:
        """Of it: ready to run, with no core free."""
        return max(0.0, read_core_seconds().waiting - self.core_began.waiting)

    def stages(self) -> dict[Stage, float]:
        """Seconds by stage; their sum is `busy_s`."""
        known = {
            Stage.CLAIM: self.claim_s,
            Stage.READ: self.read_s,
            Stage.DECODE: self.decode_s,
            Stage.SEND: self.send_s,
            Stage.PREDICT_WAIT: self.predict_wait_s,
            Stage.COMMIT: self.commit_s,
        }
        return {**known, Stage.OTHER: max(0.0, self.busy_s() - sum(known.values()))}
