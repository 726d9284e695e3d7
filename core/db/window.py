"""How many wake-up messages are sent at once. A message says that there is work; core.db.turns decides which, at the claim.

So the queue stays short with a million images, and a worker that is awake goes on without messages: only idle ones need them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.db.models import Job, JobState
from core.db.turns import first_claimable
from core.messages import Message, classify_message


@dataclass(frozen=True, slots=True)
class WindowPolicy:
    """How many messages are sent at a time, and how long one may go unanswered."""

    window: int
    republish_s: float


def open_window(session: Session, job: Job, policy: WindowPolicy, now: datetime, most: int | None = None) -> list[Message]:
    """A wake-up message for each chunk of a running job that can be claimed, up to a window.

    Args:
        session: its transaction.
        job: whose chunks.
        policy: the window.
        now: the present.
        most: fewer than a window.

    Returns:
        Messages to send after the commit.
    """
    if job.state != JobState.RUNNING:
        return []
    limit = policy.window if most is None else min(policy.window, most)
    found = session.scalar(select(func.count()).select_from(first_claimable(now, job.id).limit(limit).subquery()))
    return [classify_message(interactive=job.interactive)] * (found or 0)
