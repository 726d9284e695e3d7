"""What every Celery app on the broker must agree on, api and worker alike. Plain data: no Celery here.

Reasons are in docs/adr/0001-ledger.md. In short: SQL is the truth and Redis carries wake-up messages only. So nothing here
keeps results, delays messages or relies on redelivery for correctness.
"""

from __future__ import annotations

from typing import Any

from core.messages import QUEUES
from core.settings import BrokerSettings, Settings


def celery_config(settings: Settings) -> dict[str, Any]:
    """Celery settings shared by publishers and consumers (lower-case names of Celery ≥ 4)."""
    broker, worker = settings.broker, settings.worker
    return {
        "broker_url": broker.celery_url,
        "broker_use_ssl": broker.tls_options or None,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_pool_limit": 4,
        "broker_transport_options": {
            # One value on all apps: Redis restores what any of them thinks is overdue.
            "visibility_timeout": worker.visibility_timeout_s,
            "unacked_restore_interval": 2,
            "unacked_restore_throttle": 1,
            "socket_timeout": broker.socket_timeout_s,
            "socket_connect_timeout": broker.socket_timeout_s,
            "socket_keepalive": True,
            "retry_on_timeout": False,
            "health_check_interval": 25,
            "queue_order_strategy": "priority",  # interactive before control before bulk
            "max_retries": 0,
            **_of_a_shared_redis(broker),
        },
        "task_serializer": "json",
        "accept_content": ["json"],
        "task_ignore_result": True,
        "result_backend": None,
        "task_default_queue": QUEUES[-1],
        "task_create_missing_queues": True,
        "task_publish_retry": False,  # a lost wake-up is found by the sweeper
        "enable_utc": True,
    }


def _of_a_shared_redis(broker: BrokerSettings) -> dict[str, Any]:
    """The prefix of its keys, and what its sentinels are asked for."""
    found: dict[str, Any] = {"global_keyprefix": broker.key_prefix} if broker.key_prefix else {}
    if broker.sentinels is not None:
        waits = {"socket_timeout": broker.socket_timeout_s, "socket_connect_timeout": broker.socket_timeout_s}
        found |= {"master_name": broker.sentinels.master, "sentinel_kwargs": waits}
    return found
