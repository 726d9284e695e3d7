"""A tenant's requests in a minute."""

from __future__ import annotations

import uuid

import pytest

from api.access.rates import RateLimiter
from core.errors import QuotaExceededError


class Time:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def taken(limiter: RateLimiter, tenant: uuid.UUID, limit: int | None, tries: int) -> int:
    count = 0
    for _ in range(tries):
        try:
            limiter.take(tenant, limit)
        except QuotaExceededError:
            continue
        count += 1
    return count


def test_a_minutes_requests_at_once_then_evenly() -> None:
    time, one, other = Time(), uuid.uuid4(), uuid.uuid4()
    limiter = RateLimiter(time)
    assert taken(limiter, one, 30, 100) == 30
    assert taken(limiter, other, 30, 100) == 30
    time.now += 10
    assert taken(limiter, one, 30, 100) == 5
    time.now += 3600
    assert taken(limiter, one, 30, 100) == 30


def test_no_limit_and_none_at_all() -> None:
    limiter = RateLimiter(Time())
    assert taken(limiter, uuid.uuid4(), None, 1000) == 1000
    with pytest.raises(QuotaExceededError) as refused:
        limiter.take(uuid.uuid4(), 0)
    assert (refused.value.quota, refused.value.retry_after_s) == ("max_requests", 60)


def test_it_says_when_the_next_may_come() -> None:
    time, tenant = Time(), uuid.uuid4()
    limiter = RateLimiter(time)
    limiter.take(tenant, 6)
    assert taken(limiter, tenant, 6, 9) == 5
    with pytest.raises(QuotaExceededError, match="6 requests in a minute: ask again in 10 s") as refused:
        limiter.take(tenant, 6)
    time.now += refused.value.retry_after_s
    limiter.take(tenant, 6)
