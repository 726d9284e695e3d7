"""Requests in a minute, counted for each tenant in this process: a bucket that holds a minute's requests and fills evenly."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable

from core.errors import QuotaExceededError

_PERIOD_S = 60.0


class RateLimiter:
    """Counts in the event loop only: no locks."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._buckets: dict[uuid.UUID, tuple[float, float]] = {}  # tokens left, and when that was so

    def take(self, tenant_id: uuid.UUID, limit: int | None) -> None:
        """Count a request of a tenant that may send `limit` in a minute; None: any number.

        Raises:
            QuotaExceededError: there have been too many; says when the next may come.
        """
        if limit is None:
            return
        now = self._monotonic()
        left, at = self._buckets.get(tenant_id, (float(limit), now))
        left = min(float(limit), left + (now - at) * limit / _PERIOD_S)
        if left < 1:
            self._buckets[tenant_id] = (left, now)
            wait_s = (1 - left) * _PERIOD_S / limit if limit else _PERIOD_S
            raise QuotaExceededError(
                f"this tenant may send {limit} requests in a minute: ask again in {wait_s:.0f} s",
                quota="max_requests",
                limit=limit,
                retry_after_s=max(1, round(wait_s + 0.5)),
            )
        self._buckets[tenant_id] = (left - 1, now)
