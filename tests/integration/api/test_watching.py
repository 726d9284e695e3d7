"""Jobs say within seconds what is silent, also where nobody gets an error: broker, Serving and workers that hang."""

from __future__ import annotations

import signal
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.db.engine import transaction
from core.db.processes import forget_process, note_alive
from core.settings import ApiSettings, BrokerSettings, DatabaseSettings, ServingSettings
from tests.integration.api.conftest import Api, make_settings, running_api, soon
from tests.support.servers import broker_binary, free_port, running, running_serving_process, wait_until

OWNER = "elsewhere/1/1/1"


@contextmanager
def watched(tmp_path: Path, url: str = "", **parts: object) -> Iterator[Api]:
    """An API that looks five times a second."""
    api = ApiSettings(port=free_port(), watch_interval_s=0.2)
    with running_api(make_settings(tmp_path, api=api, database=DatabaseSettings(url=url), **parts)) as running_one:
        yield running_one


def alive(api: Api) -> None:
    with transaction(api.engine) as session:
        note_alive(session, OWNER, api.clock.now())


def words(api: Api, job_id: uuid.UUID) -> Callable[[], str]:
    return lambda: api.client.get(f"/v1/jobs/{job_id}").json()["waiting_for"] or ""


def test_workers_that_hang_are_seen(tmp_path: Path, serving_address: str, broker_url: str) -> None:
    parts = {"serving": ServingSettings(address=serving_address), "broker": BrokerSettings(url=broker_url)}
    with watched(tmp_path, **parts) as api:
        assert api.client.get("/readyz").json()["checks"]["worker"]["status"] == "ok", "there is nothing to do"
        job_id = api.submit()
        says = words(api, job_id)
        soon(lambda: says().startswith("worker: no worker process gives a sign of life"), "the job's word on the workers")
        ready = api.client.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
        assert "1 jobs are not finished" in ready.json()["checks"]["worker"]["error"]
        assert "dermq_worker_processes_heard 0.0" in api.client.get("/metrics").text
        assert api.client.get(f"/v1/jobs/{job_id}").json()["waiting_since"]
        alive(api)
        soon(lambda: says() == "", "the job to wait for nothing")
        assert api.client.get("/readyz").json()["status"] == "ok"
        assert "dermq_worker_processes_heard 1.0" in api.client.get("/metrics").text
        with transaction(api.engine) as session:
            forget_process(session, OWNER)
        soon(lambda: says().startswith("worker:"), "the job's word on the workers again")


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_frozen_broker_is_seen(kind: str, tmp_path: Path, serving_address: str, request: pytest.FixtureRequest) -> None:
    url = "" if kind == "sqlite" else request.getfixturevalue("postgres_url")
    binary, port = broker_binary("valkey"), free_port()
    assert binary is not None
    command = [binary, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(tmp_path), "--save", ""]
    parts = {
        "serving": ServingSettings(address=serving_address),
        "broker": BrokerSettings(url=f"redis://127.0.0.1:{port}/0"),
    }
    with running(command, log=tmp_path / "broker.log") as broker, watched(tmp_path, url, **parts) as api:
        wait_until(lambda: api.client.get("/readyz").status_code == 200, timeout_s=20, what="the broker")
        alive(api)
        job_id = api.submit()
        api.start(job_id, items=4)
        says = words(api, job_id)
        broker.send_signal(signal.SIGSTOP)
        try:
            soon(lambda: says().startswith("broker: it does not answer"), "the job's word on the broker")
        finally:
            broker.send_signal(signal.SIGCONT)
        soon(lambda: says() == "", "the job to wait for nothing")


def test_a_frozen_serving_is_seen(tmp_path: Path, tiny_models: Path, broker_url: str) -> None:
    with running_serving_process(tiny_models, "tiny", tmp_path / "serving.log") as (serving, address):
        parts = {"serving": ServingSettings(address=address), "broker": BrokerSettings(url=broker_url)}
        with watched(tmp_path, **parts) as api:
            alive(api)
            job_id = api.submit()
            api.start(job_id, items=4)
            says = words(api, job_id)
            serving.send_signal(signal.SIGSTOP)
            try:
                soon(lambda: says().startswith("serving: it does not answer"), "the job's word on Serving")
            finally:
                serving.send_signal(signal.SIGCONT)
            soon(lambda: says() == "", "the job to wait for nothing")
