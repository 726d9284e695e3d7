"""Beat's scheduler ticks: what they do to a broker that nobody empties."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from redis import Redis

from core.messages import QUEUE_CONTROL
from tests.support.preloaded import WrongClock
from tests.support.servers import running, running_broker, wait_until
from worker import ticking


def test_without_a_worker_ticks_do_not_pile_up(tmp_path: Path) -> None:
    with running_broker("valkey", tmp_path) as url, Redis.from_url(url) as redis:
        env = {"DERMQ_BROKER_URL": url, "DERMQ_WORKER_SWEEP_INTERVAL_S": "0.02", "DERMQ_DATA_DIR": str(tmp_path)}
        with running([sys.executable, "-m", "worker", "beat"], log=tmp_path / "beat.log", env=env):
            wait_until(lambda: int(redis.llen(QUEUE_CONTROL)) >= ticking.PILE, timeout_s=60, what="a pile of ticks")
            redis.ltrim(QUEUE_CONTROL, 0, 2)  # a worker has taken most of them
            wait_until(lambda: int(redis.llen(QUEUE_CONTROL)) >= ticking.PILE, timeout_s=60, what="ticks to go on")
            highest = [int(redis.llen(QUEUE_CONTROL)) for _ in range(2000)]
    assert max(highest) == ticking.PILE


@pytest.mark.parametrize("set_by_s", [-3600, 3600])
def test_the_next_tick_does_not_depend_on_the_wall_clock(set_by_s: int, tmp_path: Path) -> None:
    clock = WrongClock(tmp_path, "beat", 0)
    with running_broker("valkey", tmp_path) as url, Redis.from_url(url) as redis:
        env = {"DERMQ_BROKER_URL": url, "DERMQ_WORKER_SWEEP_INTERVAL_S": "0.2", "DERMQ_DATA_DIR": str(tmp_path)} | clock.env
        with running([sys.executable, "-m", "worker", "beat"], log=tmp_path / "beat.log", env=env):
            wait_until(lambda: int(redis.llen(QUEUE_CONTROL)) >= 2, timeout_s=60, what="ticks")
            clock.set(set_by_s)
            redis.delete(QUEUE_CONTROL)
            wait_until(lambda: int(redis.llen(QUEUE_CONTROL)) >= 2, timeout_s=60, what="ticks after the clock was set")
