"""Clocks: the shared one follows its server, whatever this machine's own clock says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from core.clock import ManualClock, SharedClock

SERVER = datetime(2026, 11, 25, 12, tzinfo=UTC)


def test_the_shared_clock_follows_the_server() -> None:
    local, ticks = ManualClock(datetime(2030, 1, 1, tzinfo=UTC)), [100.0]  # this machine is years ahead
    clock = SharedClock(local, lambda: ticks[0])
    assert clock.now() == local.now(), "nothing better is known yet"

    def ask() -> datetime:
        ticks[0] += 2.0  # the question takes two seconds: the answer is of their middle
        return SERVER

    clock.sync(ask)
    assert clock.now() == SERVER + timedelta(seconds=1)
    ticks[0] += 10
    local.advance(-86_400)  # somebody sets the clock back
    assert clock.now() == SERVER + timedelta(seconds=11)
