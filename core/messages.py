"""How api and worker meet without importing each other: task names, queues and payloads. Messages carry ids only."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

PREPARE = "dermq.prepare"
CLASSIFY = "dermq.classify"
SWEEP = "dermq.sweep"

QUEUE_INTERACTIVE = "dermq.interactive"  # single images: somebody is waiting
QUEUE_CONTROL = "dermq.control"  # prepare and sweep
QUEUE_BULK = "dermq.bulk"  # there are chunks of archives

# Workers consume in this order.
QUEUES = (QUEUE_INTERACTIVE, QUEUE_CONTROL, QUEUE_BULK)


@dataclass(frozen=True, slots=True)
class Message:
    """One wake-up: which task, with which JSON arguments, on which queue."""

    task: str
    queue: str
    args: tuple[str | int, ...] = ()


def prepare_message(job_id: UUID, *, interactive: bool) -> Message:
    """Wake a worker to list the job's archive and cut it into chunks."""
    return Message(PREPARE, QUEUE_INTERACTIVE if interactive else QUEUE_CONTROL, (str(job_id),))


def classify_message(*, interactive: bool = False) -> Message:
    """Wake a worker: there are chunks to classify. Which one it takes is decided when it claims (core.db.turns)."""
    return Message(CLASSIFY, QUEUE_INTERACTIVE if interactive else QUEUE_BULK)
