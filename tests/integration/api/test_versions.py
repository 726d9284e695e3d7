"""Versions over HTTP: retry on another one, the canary's share, two jobs on one upload, who promoted what."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select

from core.archives.base import ArchiveKind, ArchiveRef
from core.clock import SystemClock
from core.db.chunks import claim_chunk, fail_chunk_job, finish_chunk
from core.db.engine import reading, transaction
from core.db.models import Chunk, ChunkState, Result
from core.db.preparing import ChunkPlan, PreparedJob, claim_prepare, start_job
from core.db.versions import ModelAction, NewEvent, record_event
from core.errors import ItemErrorCode, JobErrorCode
from core.settings import ApiSettings, ServingSettings
from tests.integration.api.conftest import POLICY, Api, failed, make_settings, problem, running_api, scored
from tests.support.rollouts import Served, make_repository, served
from tests.support.servers import free_port
from tests.support.tiny_model import export_tiny_model, tiny_spec


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """`tiny`: version 1 stable, version 2 canary, version 3 of other classes, all loaded."""
    folder = tmp_path_factory.mktemp("serving")
    make_repository(folder / "models")
    with served(folder, folder / "models") as running:
        running.rollout.promote("tiny", 2, "canary")
        shutil.rmtree(folder / "models" / "tiny" / "3")
        export_tiny_model(folder / "models" / "tiny", 3, classes=("bcc", "nv"))
        running.rollout.fleet.configure(running.config.with_versions("tiny", [1, 2, 3]), 30)
        running.rollout.fleet.await_available("tiny", 3, 30)
        yield running


@pytest.fixture(scope="module")
def api(models: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("api")
    serving = ServingSettings(address=models.client.address, default_model="tiny")
    with running_api(make_settings(folder, serving=serving, api=ApiSettings(port=free_port(), canary_percent=50))) as running:
        yield running


def start(api: Api, job_id: Any, *, items: int, chunk_items: int) -> None:
    """As prepare does with version 1 of `tiny`."""
    plans = [ChunkPlan(at, min(chunk_items, items - at), 0, 0) for at in range(0, items, chunk_items)]
    archive = ArchiveRef(ArchiveKind.ZIP, "storage", "k", "a.zip").to_json()
    with transaction(api.engine) as session:
        claim = claim_prepare(session, job_id, owner="w", now=api.clock.now(), lease_s=60)
        assert claim is not None
        prepared = PreparedJob(archive, 1, tiny_spec().model_dump(mode="json"), 0, plans)
        start_job(session, claim, prepared, POLICY, api.clock.now())


def half_done(api: Api) -> Any:
    """A job of four items in two chunks that failed in mid-way: 0 succeeded, 1 failed, 2 and 3 never ran."""
    job_id = api.submit()
    start(api, job_id, items=4, chunk_items=2)
    api.finish(job_id, 0, lambda number: scored(number, [0.1, 0.1, 0.1, 0.7, 0.0, 0.0, 0.0]) if number == 0 else failed(number))
    with transaction(api.engine) as session:
        claim = claim_chunk(session, job_id, 1, owner="w", now=api.clock.now(), lease_s=60)
        assert claim is not None
        assert fail_chunk_job(session, claim, JobErrorCode.UNKNOWN_MODEL, "version 1 is gone", api.clock.now())
    assert api.client.get(f"/v1/jobs/{job_id}").json()["error"]["code"] == "unknown_model"
    return job_id


def versions_of_rows(api: Api, job_id: Any) -> dict[int, int | None]:
    with reading(api.engine) as session:
        return dict(session.execute(select(Result.item_no, Result.version).where(Result.job_id == job_id)).all())  # type: ignore[arg-type]


@pytest.mark.parametrize("choice", [{"version": 2}, {"label": "canary"}])
def test_what_failed_or_never_ran_goes_on_with_another_version(api: Api, choice: dict[str, Any]) -> None:
    job_id = half_done(api)
    answer = api.client.post(f"/v1/jobs/{job_id}/retry", json=choice)
    assert answer.status_code == 200, answer.text
    assert (answer.json()["state"], answer.json()["version"]) == ("running", 2)
    for chunk_no in (1, 2):
        api.finish(job_id, chunk_no, lambda number: scored(number, [0.1, 0.1, 0.1, 0.7, 0.0, 0.0, 0.0]))
    assert api.client.get(f"/v1/jobs/{job_id}").json()["state"] == "succeeded"
    assert versions_of_rows(api, job_id) == {0: 1, 1: 2, 2: 2, 3: 2}
    rows = api.client.get(f"/v1/jobs/{job_id}/results").json()["data"]
    assert [row["version"] for row in rows] == [1, 2, 2, 2]


def test_other_classes_are_refused_and_nothing_changes(api: Api) -> None:
    job_id = half_done(api)
    before = api.client.get(f"/v1/jobs/{job_id}").json()
    answer = api.client.post(f"/v1/jobs/{job_id}/retry", json={"version": 3})
    assert answer.status_code == 409
    assert "expected its classes to be ['akiec'" in answer.json()["detail"]
    assert api.client.get(f"/v1/jobs/{job_id}").json() == before


def test_a_version_that_is_not_served_is_not_found(api: Api) -> None:
    job_id = half_done(api)
    assert api.client.post(f"/v1/jobs/{job_id}/retry", json={"version": 99}).status_code == 404
    assert api.client.post(f"/v1/jobs/{job_id}/retry", json={"label": "nobody"}).status_code == 404
    assert api.client.post(f"/v1/jobs/{job_id}/retry", json={"label": "canary", "version": 2}).status_code == 422


def test_a_job_that_never_started_asks_for_the_new_version(api: Api) -> None:
    job_id = api.submit(label="gone")
    api.client.post(f"/v1/jobs/{job_id}/cancel")
    retried = api.client.post(f"/v1/jobs/{job_id}/retry", json={"version": 2}).json()
    assert (retried["state"], retried["requested"]) == ("queued", {"label": None, "version": 2})


def test_a_late_failure_on_the_old_version_does_not_fail_the_retry(api: Api) -> None:
    job_id = api.submit()
    start(api, job_id, items=4, chunk_items=2)
    with transaction(api.engine) as session:
        one, late = (claim_chunk(session, job_id, number, owner="w", now=api.clock.now(), lease_s=60) for number in (0, 1))
        assert one is not None
        assert late is not None
        assert fail_chunk_job(session, one, JobErrorCode.UNKNOWN_MODEL, "gone", api.clock.now())
    assert api.client.post(f"/v1/jobs/{job_id}/retry", json={"version": 2}).json()["version"] == 2
    with transaction(api.engine) as session:
        assert fail_chunk_job(session, late, JobErrorCode.UNKNOWN_MODEL, "gone", SystemClock().now())
        assert session.get_one(Chunk, (job_id, 1)).state == ChunkState.PENDING
    assert api.client.get(f"/v1/jobs/{job_id}").json()["state"] == "running"
    for number in (0, 1):
        api.finish(job_id, number, lambda item: failed(item, ItemErrorCode.EMPTY))
    assert set(versions_of_rows(api, job_id).values()) == {2}


def test_rows_of_a_worker_that_still_had_the_old_version_say_so(api: Api) -> None:
    job_id = api.submit()
    start(api, job_id, items=4, chunk_items=2)
    with transaction(api.engine) as session:
        one, late = (claim_chunk(session, job_id, number, owner="w", now=api.clock.now(), lease_s=60) for number in (0, 1))
        assert one is not None
        assert late is not None
        fail_chunk_job(session, one, JobErrorCode.UNKNOWN_MODEL, "gone", api.clock.now())
    api.client.post(f"/v1/jobs/{job_id}/retry", json={"version": 2})
    with transaction(api.engine) as session:
        finish_chunk(session, late, [failed(number) for number in (2, 3)], api.clock.now())
    api.finish(job_id, 0, failed)
    assert versions_of_rows(api, job_id) == {0: 2, 1: 2, 2: 1, 3: 1}


def test_the_canarys_share_is_chosen_by_key_and_recorded(api: Api, models: Served) -> None:
    def label(key: str, **parameters: str) -> str | None:
        answer = api.client.post("/v1/jobs", content=b"zip", headers={"Idempotency-Key": key}, params=parameters)
        assert answer.status_code == 202
        found: str | None = answer.json()["requested"]["label"]
        return found

    first = {f"key-{number}": label(f"key-{number}") for number in range(30)}
    assert set(first.values()) == {None, "canary"}
    assert {key: label(key) for key in first} == first
    assert label("asked", label="stable") == "stable"
    refused = api.client.post("/v1/jobs", content=b"zip", headers={"Idempotency-Key": "none"}, params={"model": "absent"})
    problem(refused, 404, "unknown_model")
    configured = models.config.with_versions("tiny", [1, 2, 3])
    models.rollout.fleet.configure(configured.with_label("tiny", "canary", None), 30)
    assert {label(f"none-{number}") for number in range(10)} == {None}  # it has no such label now
    models.rollout.fleet.configure(configured, 30)


def test_two_jobs_on_one_upload(api: Api) -> None:
    first = api.client.post("/v1/jobs", content=b"some bytes", params={"label": "stable", "name": "a.zip"}).json()
    stored = api.stored()
    second = api.client.post("/v1/jobs", json={"source": f"job:{first['id']}", "label": "canary", "name": "a.zip"})
    assert second.status_code == 202, second.text
    assert api.stored() == stored
    for job in (first, second.json()):
        assert api.client.post(f"/v1/jobs/{job['id']}/cancel").status_code == 200
    assert api.client.delete(f"/v1/jobs/{first['id']}").status_code == 204
    assert api.stored() == stored, "the second job still reads it"
    assert api.client.delete(f"/v1/jobs/{second.json()['id']}").status_code == 204
    assert len(api.stored()) == len(stored) - 1
    gone = api.client.post("/v1/jobs", json={"source": f"job:{first['id']}"})
    assert gone.status_code == 404
    assert api.client.post("/v1/jobs", json={"source": "job:1"}).status_code == 400


def test_models_say_who_promoted_what_when(api: Api) -> None:
    event = NewEvent("ada@ward7", ModelAction.PROMOTE, "tiny", 2, "canary")
    with transaction(api.engine) as session:
        record_event(session, event, api.clock.now())
    model = api.client.get("/v1/models/tiny").json()
    by_number = {each["version"]: each for each in model["versions"]}
    assert (by_number[2]["promoted"]["by"], by_number[2]["promoted"]["label"]) == ("ada@ward7", "canary")
    assert by_number[1]["promoted"] is None
    assert by_number[3]["spec"]["classes"] == ["bcc", "nv"]
    assert model["spec"]["classes"] == by_number[1]["spec"]["classes"]
