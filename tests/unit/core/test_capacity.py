"""The formula behind dermq_workers_recommended and dermq_work_seconds_pending."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from core.capacity import Bottleneck, recommend_workers
from core.db.throughput import Backlog, Run, Throughput, summarise
from core.settings import MetricsSettings

SETTINGS = MetricsSettings(drain_s=100)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def backlog(pending: int = 0, in_flight: int = 0, **more: int) -> Backlog:
    return Backlog({}, pending, in_flight, None, **more)


def throughput(serving: float = 0.0, core: float = 0.0, processes: float = 8, *, is_recent: bool = True) -> Throughput:
    return Throughput(item_s=0.02, serving_share=serving, core_share=core, processes=processes, is_recent=is_recent)


def test_pending_and_in_flight_count_and_so_does_what_nobody_has_listed() -> None:
    recommended = recommend_workers(backlog(900, 100, unlisted_archives=2, unlisted_images=3), None, SETTINGS, 256)
    assert recommended.work_s == pytest.approx((1000 + 2 * 256 + 3) * SETTINGS.item_s)
    assert (recommended.is_measured, recommended.bottleneck) == (False, Bottleneck.IDLE)
    measured = recommend_workers(backlog(900, 100), throughput(), SETTINGS, 256)
    assert (measured.work_s, measured.is_measured) == (pytest.approx(20), True)


@pytest.mark.parametrize(
    ("pending", "now", "limit", "workers"),
    [
        (0, throughput(), Bottleneck.IDLE, 1),  # somebody has to be there for the next job, and to sweep
        (50_000, throughput(), Bottleneck.WORKERS, 10),  # 1,000 s of work in 100 s
        (50_001, throughput(), Bottleneck.WORKERS, 11),
        (50_000, throughput(serving=0.5), Bottleneck.WORKERS, 10),
        (50_000, throughput(serving=0.75), Bottleneck.SERVING, 4),  # 8 processes do the work of 2: 4 that wait half of the time
        (50_000, throughput(serving=0.99, processes=2), Bottleneck.SERVING, 1),
        (5_000, throughput(serving=0.75), Bottleneck.SERVING, 1),  # no more than the backlog needs
        (50_000, throughput(core=0.5), Bottleneck.CORES, 6),  # 8 processes on 4 cores: 16/3, rounded up
        (50_000, throughput(serving=0.75, core=0.5), Bottleneck.SERVING, 4),
        (50_000, throughput(serving=0.75, is_recent=False), Bottleneck.IDLE, 10),  # what was measured yesterday limits nobody
    ],
)
def test_recommendation(pending: int, now: Throughput, limit: Bottleneck, workers: int) -> None:
    recommended = recommend_workers(backlog(pending), now, SETTINGS, 256)
    assert (recommended.bottleneck, recommended.workers) == (limit, workers)


def run(begin_s: float, busy_s: float, items: int = 100, waited_s: float = 0.0, starved_s: float = 0.0) -> Run:
    began = NOW + timedelta(seconds=begin_s)
    return Run(began, began + timedelta(seconds=busy_s), items, waited_s, starved_s)


def test_throughput_is_weighed_by_items_and_counts_processes() -> None:
    assert summarise([], NOW) is None
    found = summarise([run(0, 2, waited_s=1), run(0, 2), run(2, 2), run(2, 2, items=300, starved_s=2)], NOW)
    assert found is not None
    assert found.item_s == pytest.approx(8 / 600)
    assert (found.serving_share, found.core_share) == (pytest.approx(1 / 8), pytest.approx(2 / 8))
    assert found.processes == pytest.approx(2)
    assert found.is_recent


def test_an_old_run_says_what_an_item_costs_and_nothing_of_now() -> None:
    found = summarise([run(-7200, 2), run(-3600, 1)], NOW)
    assert found is not None
    assert (found.is_recent, found.processes) == (False, 1)
