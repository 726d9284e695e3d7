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

    Between two questions it goes on by this machine's monotonic clock, which no clock adjustment moves.
    """

    def __init__(
        self, ask: Callable[[], datetime], *, until_known: Clock | None = None, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Ask nothing yet.

        Args:
            ask: returns the server's present instant, timezone-aware.
            until_known: what tells the time before the first answer. None: whoever wants to know the time asks the server.
            monotonic: seconds that only grow.
        """
        self._ask = ask
        self._until_known = until_known
        self._monotonic = monotonic
        self._base: tuple[datetime, float] | None = None

    def now(self) -> datetime:
        """The server's present instant.

        Raises:
            Exception: what `ask` raises, where the server has never answered and nothing else tells the time.
        """
        if self._base is None and self._until_known is not None:
            return self._until_known.now()
        instant, at = self._base or self.sync()
        return instant + timedelta(seconds=self._monotonic() - at)

    def sync(self) -> tuple[datetime, float]:
        """Ask the server. Its answer is taken for the middle of the time that the question took.

        Returns:
            The server's instant, and this machine's monotonic second that it belongs to.
        """
        asked = self._monotonic()
        instant = self._ask()
        answered = self._monotonic()
        self._base = (instant, (asked + answered) / 2)
        return self._base


class ManualClock:
    """A clock that stands still until a test moves it."""

    def __init__(self, start: datetime | None = None) -> None:
        self._now = start or datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)
