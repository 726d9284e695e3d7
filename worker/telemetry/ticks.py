"""Beat's own metrics: how many scheduler ticks it sent, and when it sent the last one.

A module of its own, because Prometheus' client costs megabytes: beat imports it only where somebody reads its page.
"""

from __future__ import annotations

import time

from celery.signals import after_task_publish
from prometheus_client import Counter, Gauge

from core.telemetry.metrics import registry, render

TICKS = Counter(
    "dermq_beat_ticks",
    "Scheduler ticks for the sweep that the broker took, or still held so many of that no other was needed.",
    registry=registry,
)
LAST_TICK = Gauge("dermq_beat_last_tick_timestamp_seconds", "When the last of them went out; 0 if none did.", registry=registry)


def count_ticks() -> None:
    """From now on; beat publishes nothing else."""
    after_task_publish.connect(_note_tick, weak=False)


def _note_tick(**_: object) -> None:
    TICKS.inc()
    LAST_TICK.set(time.time())


def make_page() -> bytes:
    """Beat's page for Prometheus."""
    return render()
