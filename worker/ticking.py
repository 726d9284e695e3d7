"""When beat sends a scheduler tick: by its monotonic clock, and not onto a pile of them.

Celery's own scheduler compares wall clocks: one that is put back by an hour keeps it silent for an hour. And a message's
`expires` is an instant of the sender's clock: a worker whose clock is ahead throws each tick away.
"""

from __future__ import annotations

import time
from typing import Any

from celery.beat import ScheduleEntry, Scheduler
from celery.signals import after_task_publish

from core.messages import QUEUE_CONTROL, SWEEP

PILE = 10  # messages in the queue of ticks: no worker takes them, or all are busy. One more tick would not be heard earlier


class TickScheduler(Scheduler):  # type: ignore[misc]
    """Of one entry, the tick: due at once, then each time that its interval has passed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._due = time.monotonic()
        super().__init__(*args, **kwargs)

    def tick(self, *_: Any, **__: Any) -> float:
        """Send the tick if its time has come; returns seconds until beat is to ask again."""
        wait_s = self._due - time.monotonic()
        if wait_s <= 0:
            (entry,) = self.schedule.values()
            wait_s = entry.schedule.seconds
            self._due = time.monotonic() + wait_s  # before it is sent, so that a failure sends no loop of them
            self.apply_entry(self.reserve(entry), producer=self.producer)
        return float(min(wait_s, self.max_interval))

    def apply_async(self, entry: ScheduleEntry, producer: Any = None, advance: bool = True, **kwargs: Any) -> Any:
        """Send the tick, or leave it to those that wait."""
        if producer is not None and _count_waiting(producer) >= PILE:
            after_task_publish.send(sender=SWEEP)  # one of those that wait stands for it: beat itself is well
            return None
        return super().apply_async(entry, producer=producer, advance=advance, **kwargs)


def _count_waiting(producer: Any) -> int:
    with producer.channel.conn_or_acquire() as client:
        return int(client.llen(QUEUE_CONTROL))
