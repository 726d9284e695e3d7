"""Time, injected. Everything that compares instants takes a Clock, so that tests move time instead of sleeping."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Tells the present instant."""

    def now(self) -> datetime:
        """The present instant, timezone-aware, UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class SharedClock:
    """The clock of a server that all hosts ask, so that leases and due times compare whatever a host's own clock says.

    Between two questions it goes on by this machine's monotonic clock, which no clock adjustment moves. Before the first answer
    it is the machine's own clock.
    """

    def __init__(self, local: Clock | None = None, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._local = local or SystemClock()
        self._monotonic = monotonic
        self._base: tuple[datetime, float] | None = None

    def now(self) -> datetime:
        if self._base is None:
            return self._local.now()
        instant, at = self._base
        return instant + timedelta(seconds=self._monotonic() - at)

    def sync(self, ask: Callable[[], datetime]) -> None:
        """Ask the server. Its answer is taken for the middle of the time that the question took.

        Args:
            ask: returns the server's present instant, timezone-aware; what it raises goes on.
        """
        asked = self._monotonic()
        instant = ask()
        answered = self._monotonic()
        self._base = (instant, (asked + answered) / 2)


class ManualClock:
    """A clock that stands still until a test moves it."""

    def __init__(self, start: datetime | None = None) -> None:
        self._now = start or datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)
