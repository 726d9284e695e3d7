"""A worker process's sign of life: it never keeps the process from starting."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from sqlalchemy import create_engine

from core.clock import SystemClock
from worker.presence import Presence


@dataclass
class Held(Presence):
    """One whose database does not answer before it is released."""

    begun: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)

    def beat(self) -> None:
        self.begun.set()
        self.released.wait(60)


def test_starting_does_not_wait_for_the_database() -> None:
    presence = Held(create_engine("sqlite://"), SystemClock(), "h/n/1/1", 15.0)
    presence.start()  # would not return while the first beat waits, if it waited for it
    assert presence.begun.wait(60)
    assert not presence.released.is_set()
    presence._stop.set()
    presence.released.set()
