"""A plain client of the broker, for what Celery does not do: a sign of life, the length of a queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.settings import BrokerSettings

if TYPE_CHECKING:
    from redis import Redis


def open_redis(broker: BrokerSettings, timeout_s: float) -> Redis:
    """A client of the Redis that Celery is given, by the same settings. Nothing is contacted yet; close it.

    Args:
        broker: its address.
        timeout_s: for each answer, and for a connection.
    """
    import redis  # noqa: PLC0415 - of the extra `queue`
    from redis.backoff import NoBackoff  # noqa: PLC0415
    from redis.retry import Retry  # noqa: PLC0415

    waits: dict[str, Any] = {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s}
    found = broker.sentinels
    if found is None:
        return redis.Redis.from_url(broker.full_url, retry=Retry(NoBackoff(), 0), **waits, **broker.tls_options)
    from redis.sentinel import Sentinel  # noqa: PLC0415

    login = {"username": found.user or None, "password": found.password or None}
    sentinel = Sentinel(  # type: ignore[no-untyped-call]
        [(host.strip("[]"), port) for host, port in found.hosts], sentinel_kwargs=waits, **waits
    )
    master: Redis = sentinel.master_for(found.master, db=found.database, **login)  # type: ignore[no-untyped-call]
    return master
