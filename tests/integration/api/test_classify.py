"""POST /v1/classify: one image, waited for. A thread plays the worker, with the ledger's own queries."""

from __future__ import annotations

import http.client
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import select

from core.db.engine import reading, transaction
from core.db.models import Job, JobState
from core.db.outcomes import ItemOutcome
from core.db.preparing import claim_prepare, fail_prepare
from core.errors import Fault, ItemErrorCode, JobErrorCode
from core.settings import ApiSettings
from tests.integration.api.conftest import Api, failed, make_settings, problem, running_api, scored
from tests.support.servers import free_port
from tests.support.stack import jpeg


@contextmanager
def worker(api: Api, outcome: Callable[[int], ItemOutcome] | JobErrorCode) -> Iterator[None]:
    """Takes queued interactive jobs; with a job's code as outcome, fails them."""
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.01):
            with reading(api.engine) as session:
                waiting = session.scalars(select(Job.id).where(Job.state == JobState.QUEUED, Job.interactive)).all()
            for job_id in waiting:
                if isinstance(outcome, JobErrorCode):
                    refuse(api, job_id, outcome)
                else:
                    api.start(job_id, items=1)
                    api.finish(job_id, 0, outcome)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def refuse(api: Api, job_id: Any, code: JobErrorCode) -> None:
    with transaction(api.engine) as session:
        claim = claim_prepare(session, job_id, owner="w", now=api.clock.now(), lease_s=60)
        assert claim is not None
        assert fail_prepare(session, claim, code, "it is 'nope'", api.clock.now())


@pytest.fixture
def answering(api: Api) -> Iterator[None]:
    with worker(api, lambda number: scored(number, [0.125, 0.25, 0.5, 0.125], "lesion.jpg")):
        yield


@pytest.mark.parametrize("how", ["raw", "form", "file"])
@pytest.mark.usefixtures("answering")
def test_answer(api: Api, how: str) -> None:
    image = jpeg(120)
    if how == "raw":
        response = api.client.post("/v1/classify", content=image, params={"name": "lesion.jpg"})
    else:
        field = "image" if how == "form" else "file"
        response = api.client.post("/v1/classify", files={field: ("lesion.jpg", image)}, data={"label": "canary"})
    assert response.status_code == 200, response.text
    answer = response.json()
    assert (answer["object"], answer["label"], answer["p_mel"], answer["status"]) == ("classification", "mel", 0.5, "succeeded")
    assert (answer["model"], answer["version"], answer["risk"], answer["flag"]) == ("tiny", 3, 0.875, True)
    job = api.client.get(answer["links"]["job"]).json()
    assert (job["id"], job["state"], job["name"]) == (answer["job"], "succeeded", "lesion.jpg")
    with reading(api.engine) as session:
        assert session.scalars(select(Job).order_by(Job.id.desc())).first().interactive  # type: ignore[union-attr]


def test_failed_item_is_a_problem(api: Api) -> None:
    with worker(api, lambda number: failed(number, ItemErrorCode.TRUNCATED)):
        problem(api.client.post("/v1/classify", content=jpeg(1)), 422, "truncated")


def test_unknown_model_is_a_problem(api: Api) -> None:
    with worker(api, JobErrorCode.UNKNOWN_MODEL):
        body = problem(api.client.post("/v1/classify", params={"model": "nope"}, content=jpeg(2)), 404, "unknown_model")
    assert "nope" in body["detail"]


STATUS = {
    JobErrorCode.UNREADABLE_ARCHIVE: 422,
    JobErrorCode.ENCRYPTED_ARCHIVE: 422,
    JobErrorCode.ARCHIVE_BOMB: 422,
    JobErrorCode.ARCHIVE_GONE: 500,
    JobErrorCode.SOURCE_DENIED: 500,
    JobErrorCode.FORBIDDEN_SOURCE: 403,
    JobErrorCode.UNKNOWN_MODEL: 404,
    JobErrorCode.MODEL_CONTRACT: 502,
    JobErrorCode.SERVING_ERROR: 502,
    JobErrorCode.PREPARE_CRASH: 500,
    JobErrorCode.PREPARE_TIMEOUT: 422,
    JobErrorCode.INTERNAL_ERROR: 500,
    JobErrorCode.ERROR_BUDGET: 422,
}


@pytest.mark.parametrize("code", JobErrorCode)
def test_the_status_says_whose_fault_a_failed_job_is(api: Api, code: JobErrorCode) -> None:
    with worker(api, code):
        body = problem(api.client.post("/v1/classify", content=jpeg(7)), STATUS[code], code)
    assert body["type"] == f"/v1/problems/{code}"
    assert "nope" in body["detail"]
    assert (body["status"] < 500) == (code.fault in (Fault.CALLER, Fault.ARCHIVE))


def test_a_code_of_another_release_is_a_fault_of_the_service(api: Api) -> None:
    job_id = api.client.post(
        "/v1/classify", content=jpeg(8), headers={"Prefer": "respond-async", "Idempotency-Key": "x"}
    ).json()["id"]
    with transaction(api.engine) as session:
        job = session.get_one(Job, uuid.UUID(job_id))
        job.state, job.error_code, job.error = JobState.FAILED, "of_tomorrow", "why"
    body = problem(api.client.post("/v1/classify", content=jpeg(8), headers={"Idempotency-Key": "x"}), 500, "internal")
    assert "of_tomorrow" in body["detail"]


def test_a_job_that_was_cancelled_meanwhile_is_a_conflict(api: Api) -> None:
    job_id = api.client.post(
        "/v1/classify", content=jpeg(9), headers={"Prefer": "respond-async", "Idempotency-Key": "y"}
    ).json()["id"]
    assert api.client.post(f"/v1/jobs/{job_id}/cancel").json()["state"] == "cancelled"
    problem(api.client.post("/v1/classify", content=jpeg(9), headers={"Idempotency-Key": "y"}), 409, "conflict")


@pytest.mark.parametrize(
    ("data", "code"), [(b"PK\x03\x04zip", "not_an_image"), (b"<svg >", "unsupported_format"), (b"hello", "not_an_image")]
)
def test_what_is_no_image_makes_no_job(api: Api, data: bytes, code: str) -> None:
    before = (api.stored(), len(api.client.get("/v1/jobs?limit=200").json()["data"]))
    problem(api.client.post("/v1/classify", content=data), 422, code)
    problem(api.client.post("/v1/classify", files={"image": ("x.jpg", data)}), 422, code)
    assert before == (api.stored(), len(api.client.get("/v1/jobs?limit=200").json()["data"]))


def test_empty_body(api: Api) -> None:
    problem(api.client.post("/v1/classify", content=b""), 400, "invalid_request")


def test_too_large(api: Api) -> None:
    headers = {"Content-Length": str(api.settings.image.max_bytes + 1), "Expect": "100-continue"}
    connection = http.client.HTTPConnection("127.0.0.1", api.settings.api.port, timeout=10)
    connection.request("POST", "/v1/classify", headers=headers)
    assert connection.getresponse().status == 413
    connection.close()


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A server that waits for an hour, so that an answer at all shows that it did not wait."""
    settings = make_settings(tmp_path_factory.mktemp("patient"), api=ApiSettings(port=free_port(), classify_wait_s=3600))
    with running_api(settings) as running:
        yield running


def test_prefer_respond_async(patient: Api) -> None:
    response = patient.client.post("/v1/classify", content=jpeg(3), headers={"Prefer": "respond-async, wait=3600"})
    assert response.status_code == 202
    assert response.headers["preference-applied"] == "respond-async"
    assert response.headers["location"] == response.json()["links"]["self"]
    assert response.json()["state"] == "queued"


def test_nobody_works_and_the_server_bounds_the_wait(api: Api) -> None:
    begun = time.monotonic()
    response = api.client.post("/v1/classify", content=jpeg(4), headers={"Prefer": "wait=3600"})
    waited_s = time.monotonic() - begun
    assert response.status_code == 202
    assert "retry-after" in response.headers
    assert waited_s >= api.settings.api.classify_wait_s


@pytest.mark.parametrize("seconds", [0, 1])
def test_nobody_works_and_the_client_bounds_the_wait(patient: Api, seconds: int) -> None:
    begun = time.monotonic()
    response = patient.client.post("/v1/classify", content=jpeg(4), headers={"Prefer": f"wait={seconds}"})
    waited_s = time.monotonic() - begun
    assert response.status_code == 202
    assert response.headers["preference-applied"] == f"wait={seconds}"
    assert waited_s >= seconds


def test_same_key_waits_for_the_same_job(api: Api) -> None:
    headers = {"Idempotency-Key": "classify"}
    first = api.client.post("/v1/classify", content=jpeg(5), headers=headers | {"Prefer": "respond-async"})
    with worker(api, lambda number: scored(number, [0.7, 0.1, 0.1, 0.1])):
        second = api.client.post("/v1/classify", content=jpeg(5), headers=headers)
    assert second.json()["job"] == first.json()["id"]
