"""The Celery settings that reliability rests on."""

from __future__ import annotations

import pytest
from celery import Celery
from kombu.exceptions import ContentDisallowed
from kombu.serialization import dumps, loads
from pydantic import ValidationError

from core.broker import celery_config
from core.messages import CLASSIFY, PREPARE, QUEUES, SWEEP
from core.settings import Settings, WorkerSettings
from worker.app import create_celery
from worker.beat import create_beat


@pytest.fixture
def app() -> Celery:
    return create_celery(Settings())


def test_no_result_backend_no_late_acknowledgement_no_prefetch(app: Celery) -> None:
    conf = app.conf
    assert (conf.result_backend, conf.task_ignore_result, conf.task_acks_late) == (None, True, False)
    assert (conf.worker_prefetch_multiplier, conf.worker_disable_prefetch) == (1, True)
    assert (conf.broker_connection_max_retries, conf.broker_connection_retry_on_startup) == (None, True)


def test_every_network_call_to_the_broker_has_a_limit(app: Celery) -> None:
    options = app.conf.broker_transport_options
    assert options["socket_timeout"] > 0
    assert options["socket_connect_timeout"] > 0
    assert options["socket_keepalive"]


def test_publishers_and_consumers_agree_on_the_visibility_timeout(app: Celery) -> None:
    settings = Settings()
    shared = celery_config(settings)["broker_transport_options"]["visibility_timeout"]
    assert app.conf.broker_transport_options["visibility_timeout"] == shared
    assert create_beat(settings).conf.broker_transport_options["visibility_timeout"] == shared
    assert shared > 2 * settings.worker.hard_limit_s


def test_only_json_is_accepted(app: Celery) -> None:
    assert app.conf.accept_content == ["json"]
    content_type, encoding, body = dumps({"a": 1}, serializer="pickle")
    with pytest.raises(ContentDisallowed):
        loads(body, content_type, encoding, accept={"application/json"})


def test_three_tasks_and_the_scheduler_tick(app: Celery) -> None:
    assert {name for name in app.tasks if name.startswith("dermq.")} == {PREPARE, CLASSIFY, SWEEP}
    (entry,) = create_beat(Settings()).conf.beat_schedule.values()
    assert (entry["task"], entry["options"]["queue"] in QUEUES) == (SWEEP, True)
    assert "expires" not in entry["options"], (
        "it is an instant of the sender's clock: a worker whose clock is ahead takes no tick"
    )


def test_limits_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(ValidationError, match="must have time to end in order before its process is killed"):
        WorkerSettings(soft_limit_s=20, hard_limit_s=20)
    with pytest.raises(ValidationError, match="would deliver running tasks again"):
        WorkerSettings(soft_limit_s=10, hard_limit_s=20, lease_s=30, visibility_timeout_s=40)
