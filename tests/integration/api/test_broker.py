"""The broker carries wake-up messages only: a job is accepted whether it answers or not."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path

import redis

from core.db.models import JobState
from core.settings import BrokerSettings
from tests.integration.api.conftest import Api, elapsed, make_settings, running_api, soon


def test_broker_that_nobody_runs(api: Api) -> None:
    begun = time.perf_counter()
    response = api.client.post("/v1/jobs", content=b"x")
    assert response.status_code == 202
    assert elapsed(begun) < 2
    job = response.json()["id"]
    soon(lambda: "broker" in (api.client.get(f"/v1/jobs/{job}").json()["waiting_for"] or ""), "the job's word on the broker")
    assert api.client.get(f"/v1/jobs/{job}").json()["state"] == JobState.QUEUED


def test_broker_that_never_answers(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(64)
        broker = BrokerSettings(url=f"redis://127.0.0.1:{silent.getsockname()[1]}/0", socket_timeout_s=1.0)
        with running_api(make_settings(tmp_path, broker=broker)) as api:
            for _ in range(5):
                begun = time.perf_counter()
                response = api.client.post("/v1/jobs", content=b"x")
                assert response.status_code == 202
                assert elapsed(begun) < 2
            url = response.json()["links"]["self"]
            soon(lambda: "broker" in (api.client.get(url).json()["waiting_for"] or ""), "the job's word on the broker", 15)
            begun = time.perf_counter()
            ready = api.client.get("/readyz")
            assert elapsed(begun) < 5
            assert ready.json()["checks"]["broker"]["status"] == "error"
            begun = time.perf_counter()
    assert elapsed(begun) < 10  # nor does the end wait


def test_wake_up_reaches_the_broker(broker_url: str, tmp_path: Path) -> None:
    with running_api(make_settings(tmp_path, broker=BrokerSettings(url=broker_url))) as api:
        job = api.client.post("/v1/jobs", content=b"x").json()["id"]
        with redis.Redis.from_url(broker_url) as broker:
            soon(lambda: broker.llen("dermq.control") == 1, "the message")
            message = json.loads(broker.lindex("dermq.control", 0))
        assert message["headers"]["task"] == "dermq.prepare"
        assert job in message["headers"]["argsrepr"]
        assert api.client.get(f"/v1/jobs/{job}").json()["waiting_for"] is None
