"""Beat's own metrics: how often it rang for the sweeper, and when last."""

from __future__ import annotations

import time

from celery.signals import after_task_publish
from prometheus_client import Counter, Gauge

from core.metrics import registry, render

RINGS = Counter("dermq_beat_rings", "Rings for the sweeper that the broker took.", registry=registry)
LAST_RING = Gauge("dermq_beat_last_ring_timestamp_seconds", "When the last of them went out; 0 if none did.", registry=registry)


def count_rings() -> None:
    """From now on; beat publishes nothing else."""
    after_task_publish.connect(_note_ring, weak=False)


def _note_ring(**_: object) -> None:
    RINGS.inc()
    LAST_RING.set(time.time())


def make_page() -> bytes:
    """Beat's page for Prometheus."""
    return render()
