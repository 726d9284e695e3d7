"""When work that met an unavailable dependency is due again."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

from core.settings import WorkerSettings


def next_attempt_at(now: datetime, waits: int, settings: WorkerSettings) -> datetime:
    """Exponential back-off with jitter: between half and the whole of min(max_backoff_s, backoff_s · 2^waits)."""
    bound = min(settings.max_backoff_s, settings.backoff_s * 2 ** min(waits, 30))
    return now + timedelta(seconds=bound * random.uniform(0.5, 1.0))  # noqa: S311 - spreads load, keeps no secret
