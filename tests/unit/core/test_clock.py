"""Clocks: the shared one follows its server, whatever this machine's own clock says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from core.clock import ManualClock, SharedClock
from core.errors import DatabaseUnavailableError

SERVER = datetime(2026, 11, 25, 12, tzinfo=UTC)


def test_the_shared_clock_follows_the_server() -> None:
    local, ticks = ManualClock(datetime(2030, 1, 1, tzinfo=UTC)), [100.0]  # this machine is years ahead

    def ask() -> datetime:
        ticks[0] += 2.0  # the question takes two seconds: the answer is of their middle
        return SERVER

    clock = SharedClock(ask, until_known=local, monotonic=lambda: ticks[0])
    assert clock.now() == local.now(), "nothing better is known yet"
    clock.sync()
    assert clock.now() == SERVER + timedelta(seconds=1)
    ticks[0] += 10
    local.advance(-86_400)  # somebody sets the clock back
    assert clock.now() == SERVER + timedelta(seconds=11)


def test_without_anything_else_that_tells_the_time_the_first_look_asks_the_server() -> None:
    answers: list[datetime] = []

    def ask() -> datetime:
        if not answers:
            raise DatabaseUnavailableError("away")
        return answers[0]

    clock = SharedClock(ask, monotonic=lambda: 5.0)
    with pytest.raises(DatabaseUnavailableError, match="away"):
        clock.now()
    answers.append(SERVER)
    assert clock.now() == SERVER
    answers.clear()
    assert clock.now() == SERVER, "the server is not asked at every look"
