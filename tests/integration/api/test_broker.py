"""The broker carries wake-up messages only: a job is accepted whether it answers or not."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from api.publisher import _PAUSE_S, Publisher
from core.db.models import JobState
from core.ids import new_id
from core.messages import prepare_message
from core.settings import BrokerSettings
from tests.integration.api.conftest import Api, make_settings, running_api, soon


def test_broker_that_nobody_runs(api: Api) -> None:
    response = api.client.post("/v1/jobs", content=b"x")
    assert response.status_code == 202
    job = response.json()["id"]
    soon(lambda: "broker" in (api.client.get(f"/v1/jobs/{job}").json()["waiting_for"] or ""), "the job's word on the broker")
    assert api.client.get(f"/v1/jobs/{job}").json()["state"] == JobState.QUEUED


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A broker that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        yield listening


def url_of(listening: socket.socket) -> str:
    return f"redis://127.0.0.1:{listening.getsockname()[1]}/0"


def test_no_answer_waits_for_a_broker_that_never_answers(silent: socket.socket, tmp_path: Path) -> None:
    """What waited for the broker would wait for an hour and outlast this test."""
    broker = BrokerSettings(url=url_of(silent), socket_timeout_s=3600)
    with running_api(make_settings(tmp_path, broker=broker)) as api:
        for _ in range(5):
            assert api.client.post("/v1/jobs", content=b"x").status_code == 202
        ready = api.client.get("/readyz")
        assert ready.json()["checks"]["broker"]["status"] == "error"
        silent.close()  # else the end would wait for one time limit


def test_the_end_waits_for_one_time_limit_whatever_is_queued(
    silent: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_settings(tmp_path, broker=BrokerSettings(url=url_of(silent), socket_timeout_s=1.0))
    publisher = Publisher(settings, lambda _job: None)
    for _ in range(5):
        job = new_id()
        publisher.send_soon(job, [prepare_message(job, interactive=False)])
    limits: list[float | None] = []
    thread = publisher._thread
    join = thread.join

    def note(timeout: float | None = None) -> None:
        limits.append(timeout)
        join(timeout)

    monkeypatch.setattr(thread, "join", note)
    publisher.close()
    assert limits == [1.0 + _PAUSE_S]


def test_a_job_says_that_the_broker_never_answers(silent: socket.socket, tmp_path: Path) -> None:
    broker = BrokerSettings(url=url_of(silent), socket_timeout_s=1.0)
    with running_api(make_settings(tmp_path, broker=broker)) as api:
        url = api.client.post("/v1/jobs", content=b"x").json()["links"]["self"]
        soon(lambda: "broker" in (api.client.get(url).json()["waiting_for"] or ""), "the job's word on the broker", 15)


def test_wake_up_reaches_the_broker(broker_url: str, tmp_path: Path) -> None:
    with running_api(make_settings(tmp_path, broker=BrokerSettings(url=broker_url))) as api:
        job = api.client.post("/v1/jobs", content=b"x").json()["id"]
        with redis.Redis.from_url(broker_url) as broker:
            soon(lambda: broker.llen("dermq.control") == 1, "the message")
            message = json.loads(broker.lindex("dermq.control", 0))
        assert message["headers"]["task"] == "dermq.prepare"
        assert job in message["headers"]["argsrepr"]
        assert api.client.get(f"/v1/jobs/{job}").json()["waiting_for"] is None
