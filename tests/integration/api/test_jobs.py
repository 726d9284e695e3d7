"""Jobs over HTTP: the object, the list, cancel, retry, delete, and their events."""

from __future__ import annotations

import json
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
import redis
from sqlalchemy import Engine, event, func, insert, select

from api.__main__ import Server
from api.results.views import SHORTEST_RUN_S
from core.archives.notes import ArchiveNote, Notes
from core.db.engine import reading, transaction
from core.db.maintenance.erasing import erase_for
from core.db.models import Job, JobState, Result, Tenant
from core.db.waiting import note_waiting
from core.settings import ApiSettings, BrokerSettings
from tests.integration.api.conftest import (
    CLASSES,
    Api,
    failed,
    make_settings,
    problem,
    running_api,
    running_server,
    scored,
    soon,
)
from tests.support.servers import free_port

LINKS = {"self", "results", "results_csv", "results_jsonl", "results_parquet", "errors", "events", "cancel", "retry"}


def outcome(number: int) -> Any:
    return failed(number) if number % 4 == 0 else scored(number, [0.1, 0.1, 0.1, 0.7])


def test_job_object(api: Api) -> None:
    job_id = api.submit(name="lesions.zip", label="stable")
    api.start(job_id, items=20, chunk_items=10)
    time.sleep(2 * SHORTEST_RUN_S)
    api.finish(job_id, 0, outcome)
    response = api.client.get(f"/v1/jobs/{job_id}")
    assert int(response.headers["retry-after"]) >= 1
    job = response.json()
    assert job["counts"] == {"total": 20, "succeeded": 7, "failed": 3, "skipped": 2, "remaining": 10}
    assert (job["labels"], job["errors"]) == ({"nv": 7}, {"truncated": 3})
    assert (job["model"], job["version"], job["requested"]) == ("tiny", 3, {"label": "stable", "version": None})
    assert (job["classes"], job["threshold"]) == (list(CLASSES), 0.5)
    assert job["images_per_s"] > 0
    assert job["eta_s"] == pytest.approx(10 / job["images_per_s"], rel=0.01)
    assert job["disclaimer"] == "Research use only, not a diagnosis."
    assert set(job["links"]) == LINKS
    stamps = job["timestamps"]
    assert [name for name, stamp in stamps.items() if stamp] == ["queued", "preparing", "running"]
    assert datetime.fromisoformat(stamps["running"]) >= datetime.fromisoformat(stamps["queued"])
    api.finish(job_id, 1, outcome)
    response = api.client.get(f"/v1/jobs/{job_id}")
    assert "retry-after" not in response.headers
    done = response.json()
    assert (done["state"], done["eta_s"], done["counts"]["remaining"]) == ("succeeded", None, 0)
    assert done["revision"] > job["revision"]


def test_a_job_shows_its_notes(any_api: Api) -> None:
    notes = Notes()
    notes.add(ArchiveNote.TRAILING_BYTES, 512)
    notes.add(ArchiveNote.NAMES_GUESSED, 3, example="l\udcffsion.jpg")
    job_id = any_api.submit()
    assert any_api.client.get(f"/v1/jobs/{job_id}").json()["notes"] == []
    any_api.start(job_id, items=1, notes=notes.to_json())
    shown = any_api.client.get(f"/v1/jobs/{job_id}").json()["notes"]
    assert [(note["code"], note["count"]) for note in shown] == [("trailing_bytes", 512), ("names_guessed", 3)]
    assert shown[0]["text"] == "512 bytes follow the end of the archive; they were not read."
    assert any_api.client.get("/v1/jobs").json()["data"][0]["notes"] == shown


def test_every_link_leads_somewhere(api: Api) -> None:
    job = api.client.get(f"/v1/jobs/{api.run(8, outcome)}").json()
    for name, url in job["links"].items():
        response = api.client.post(url) if name in ("cancel", "retry") else api.client.get(url)
        assert response.status_code == (409 if name == "cancel" else 200), (name, response.text)


def test_public_url_makes_the_links(tmp_path: Path) -> None:
    settings = make_settings(
        tmp_path, api=ApiSettings(port=free_port(), public_url="https://dermq.example.org/x/", require_keys=False)
    )
    with running_api(settings) as api:
        response = api.client.post("/v1/jobs", content=b"x")
        assert response.headers["location"].startswith("https://dermq.example.org/x/v1/jobs/")


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_unknown_job(api: Api, method: str) -> None:
    problem(api.client.request(method, f"/v1/jobs/{uuid.uuid4()}"), 404, "not_found")
    problem(api.client.request(method, "/v1/jobs/nonsense"), 404, "not_found")


@pytest.mark.parametrize(
    "path", ["results", "results.csv", "errors", "events", "items/0/image", "items/0/original", "items/0/thumbnail"]
)
def test_unknown_job_has_nothing_below(api: Api, path: str) -> None:
    problem(api.client.get(f"/v1/jobs/{uuid.uuid4()}/{path}"), 404, "not_found")


def test_another_tenants_job_looks_unknown(api: Api) -> None:
    other = uuid.uuid4()
    with transaction(api.engine) as session:
        session.execute(insert(Tenant).values(id=other, name="other", created_at=api.clock.now()))
    job_id = api.submit(tenant_id=other)
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/cancel"), ("POST", "/retry"), ("GET", "/results")):
        problem(api.client.request(method, f"/v1/jobs/{job_id}{path}"), 404, "not_found")
    assert str(job_id) not in api.client.get("/v1/jobs", params={"limit": 200}).text


def test_list(tmp_path: Path) -> None:
    with running_api(make_settings(tmp_path)) as api:
        ids = [api.submit(name=f"{number}.zip") for number in range(23)]
        api.start(ids[4], items=4)
        url: str | None = "/v1/jobs?limit=10"
        found, sizes = [], []
        while url:
            response = api.client.get(url)
            page = response.json()
            found += [uuid.UUID(job["id"]) for job in page["data"]]
            sizes.append(len(page["data"]))
            url = page["next"]
            assert ("link" in response.headers) == (url is not None)
        assert (found, sizes) == (ids[::-1], [10, 10, 3])
        running = api.client.get("/v1/jobs", params={"state": ["running", "failed"]}).json()["data"]
        assert [job["id"] for job in running] == [str(ids[4])]
        problem(api.client.get("/v1/jobs?limit=0"), 422, "invalid_parameters")
        problem(api.client.get("/v1/jobs?cursor=zzz"), 400, "invalid_request")


def test_a_page_of_jobs_costs_as_many_statements_as_one_job(any_api: Api) -> None:
    jobs = [any_api.run(8, outcome) for _ in range(5)]
    statements: list[str] = []

    def note(*arguments: Any) -> None:
        statements.append(arguments[2])

    event.listen(Engine, "before_cursor_execute", note)
    try:
        sizes, costs = [], []
        for limit in (1, 3, 50):
            statements.clear()
            data = any_api.client.get("/v1/jobs", params={"limit": limit}).json()["data"]
            sizes.append(len(data))
            costs.append(len([text for text in statements if "FROM jobs" in text or "FROM tallies" in text]))
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    assert (sizes, costs) == ([1, 3, 5], [2, 2, 2])
    assert data == [any_api.client.get(f"/v1/jobs/{job_id}").json() for job_id in jobs[::-1]]


def test_cancel(api: Api) -> None:
    job_id = api.submit()
    api.start(job_id, items=20, chunk_items=10)
    api.finish(job_id, 0, outcome)
    job = api.client.post(f"/v1/jobs/{job_id}/cancel").json()
    assert job["state"] == "cancelled"
    assert job["timestamps"]["cancelled"]
    assert api.client.post(f"/v1/jobs/{job_id}/cancel").json() == job  # harmless
    assert len(api.client.get(f"/v1/jobs/{job_id}/results").json()["data"]) == 10


def test_a_job_that_has_ended_is_not_cancelled(api: Api) -> None:
    job_id = api.run(8, outcome)
    before = api.client.get(f"/v1/jobs/{job_id}").json()
    detail = problem(api.client.post(f"/v1/jobs/{job_id}/cancel"), 409, "conflict")["detail"]
    assert detail == f"job {job_id} has ended already: it succeeded; there is nothing to cancel, its results are kept"
    assert api.client.get(f"/v1/jobs/{job_id}").json() == before


def test_retry(api: Api) -> None:
    job_id = api.submit()
    api.start(job_id, items=12)
    problem(api.client.post(f"/v1/jobs/{job_id}/retry"), 409, "conflict")
    api.finish(job_id, 0, outcome)
    problem(api.client.post(f"/v1/jobs/{job_id}/retry", json={"codes": ["too_large"]}), 409, "conflict")
    problem(api.client.post(f"/v1/jobs/{job_id}/retry", json={"code": ["typo"]}), 422, "invalid_parameters")
    problem(api.client.post(f"/v1/jobs/{job_id}/retry", json=[1]), 400, "invalid_request")
    job = api.client.post(f"/v1/jobs/{job_id}/retry", json={"codes": ["truncated"]}).json()
    assert (job["state"], job["counts"]["remaining"], job["errors"]) == ("running", 3, {})
    api.finish(job_id, 1, lambda number: scored(number, [0.7, 0.1, 0.1, 0.1]))
    job = api.client.get(f"/v1/jobs/{job_id}").json()
    assert (job["state"], job["labels"]) == ("succeeded", {"nv": 9, "akiec": 3})


def test_retry_wakes_a_worker(broker_url: str, tmp_path: Path) -> None:
    with running_api(make_settings(tmp_path, broker=BrokerSettings(url=broker_url))) as api:
        job_id = api.run(12, outcome)
        never_prepared = api.submit()
        api.client.post(f"/v1/jobs/{never_prepared}/cancel")
        with redis.Redis.from_url(broker_url) as broker:
            api.client.post(f"/v1/jobs/{job_id}/retry")
            soon(lambda: broker.llen("dermq.bulk") == 1, "the chunk's message")
            assert api.client.post(f"/v1/jobs/{never_prepared}/retry").json()["state"] == "queued"
            soon(lambda: broker.llen("dermq.control") == 1, "the job's message")


def test_delete(api: Api) -> None:
    job = api.client.post("/v1/jobs", content=b"gone soon").json()
    url = f"/v1/jobs/{job['id']}"
    problem(api.client.delete(url), 409, "conflict")
    api.client.post(f"{url}/cancel")
    before = api.stored()
    assert api.client.delete(url).status_code == 204
    assert len(api.stored()) == len(before) - 1
    problem(api.client.get(url), 404, "not_found")


def test_delete_answers_before_the_rows_of_a_large_job_are_gone(any_api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.db.maintenance.erasing.PAGE", 8)
    monkeypatch.setattr("api.routes.jobs._ERASE_S", 0.0)
    job = any_api.run(20, outcome)
    url = f"/v1/jobs/{job}"

    def rows() -> int:
        with reading(any_api.engine) as session:
            return session.scalar(select(func.count()).select_from(Result).where(Result.job_id == job)) or 0

    def deleted() -> float:
        page = any_api.client.get("/metrics").text
        return float(next(line for line in page.splitlines() if line.startswith("dermq_deleted_jobs ")).split()[1])

    before = deleted()
    assert any_api.client.delete(url).status_code == 204
    assert (rows(), deleted() - before) == (12, 1.0)
    for method in ("GET", "DELETE"):
        problem(any_api.client.request(method, url), 404, "not_found")
    assert str(job) not in any_api.client.get("/v1/jobs").text
    assert erase_for(any_api.engine, 60.0) >= 1
    assert (rows(), deleted()) == (0, 0.0)


def events(response: httpx2.Response) -> Iterator[dict[str, str]]:
    """A reader of server-sent events, strict where the API is."""
    event: dict[str, str] = {}
    for line in response.iter_lines():
        if not line and event:
            yield event
            event = {}
        elif line and not line.startswith(":"):
            key, _, value = line.partition(": ")
            event[key] = value


def test_events(api: Api) -> None:
    job_id = api.submit()
    with api.client.stream("GET", f"/v1/jobs/{job_id}/events") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        stream = events(response)
        assert json.loads(next(stream)["data"])["state"] == "queued"
        with transaction(api.engine) as session:
            note_waiting(session, job_id, "serving", api.clock.now())
        assert json.loads(next(stream)["data"])["waiting_for"] == "serving"
        api.start(job_id, items=8)
        api.finish(job_id, 0, outcome)
        rest = list(stream)  # the stream ends with the job
    job = api.client.get(f"/v1/jobs/{job_id}").json()
    assert json.loads(rest[-1]["data"]) == job
    assert rest[-1]["id"] == str(job["revision"])
    assert all(event["event"] == "job" for event in rest)
    revisions = [int(event["id"]) for event in rest]
    assert revisions == sorted(set(revisions))


def test_events_resume(api: Api) -> None:
    job_id = api.submit()
    revision = str(api.client.get(f"/v1/jobs/{job_id}").json()["revision"])
    ended = threading.Timer(0.8, lambda: api.client.post(f"/v1/jobs/{job_id}/cancel"))
    ended.start()
    with api.client.stream("GET", f"/v1/jobs/{job_id}/events", headers={"Last-Event-ID": revision}) as response:
        heard = list(events(response))
    ended.join()
    assert [json.loads(event["data"])["state"] for event in heard] == ["cancelled"]  # nothing that was heard already
    with api.client.stream("GET", f"/v1/jobs/{job_id}/events", headers={"Last-Event-ID": "1"}) as response:
        assert [json.loads(event["data"])["state"] for event in events(response)] == ["cancelled"]
    problem(api.client.get(f"/v1/jobs/{job_id}/events", headers={"Last-Event-ID": "x"}), 422, "invalid_parameters")


def test_events_of_a_job_that_is_deleted_end(api: Api) -> None:
    job_id = api.submit()
    with api.client.stream("GET", f"/v1/jobs/{job_id}/events") as response:
        stream = events(response)
        next(stream)
        with transaction(api.engine) as session:
            session.delete(session.get_one(Job, job_id))
        assert not list(stream)


def test_a_stop_ends_the_streams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.__main__._GRACE_S", 3600)  # streams that did not end by themselves would last as long
    settings = make_settings(tmp_path)
    with running_api(settings) as api:
        job_id = api.submit()
    with (
        running_server(settings) as server,
        httpx2.Client(base_url=f"http://127.0.0.1:{settings.api.port}", timeout=20) as client,
    ):
        assert isinstance(server, Server)
        with client.stream("GET", f"/v1/jobs/{job_id}/events") as response:
            stream = events(response)
            assert json.loads(next(stream)["data"])["state"] == JobState.QUEUED
            server.handle_exit(signal.SIGTERM, None)
            assert not list(stream)
