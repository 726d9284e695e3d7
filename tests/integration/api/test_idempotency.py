"""Idempotency-Key: the same request makes one job, also when it comes twice at the same time; another one is recognised."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select

from core.db.engine import reading
from core.db.models import Job
from tests.integration.api.conftest import Api, problem, soon


def test_same_key_and_body_is_the_same_job(api: Api) -> None:
    headers = {"Idempotency-Key": "one"}
    first = api.client.post("/v1/jobs", params={"name": "a.zip"}, content=b"body one", headers=headers)
    stored = api.stored()
    again = api.client.post("/v1/jobs", params={"name": "a.zip"}, content=b"body one", headers=headers)
    form = api.client.post("/v1/jobs", files={"archive": ("a.zip", b"body one")}, headers=headers)
    assert first.json()["id"] == again.json()["id"] == form.json()["id"]
    assert first.status_code == again.status_code == 202
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert api.stored() == stored  # the duplicate's bytes are gone


@pytest.mark.parametrize(
    ("parameters", "body"), [({"name": "a.zip"}, b"other"), ({"name": "a.zip", "model": "other"}, b"body two")]
)
def test_same_key_and_another_request_is_a_conflict(api: Api, parameters: dict[str, str], body: bytes) -> None:
    headers = {"Idempotency-Key": "two"}
    first = api.client.post("/v1/jobs", params={"name": "a.zip"}, content=b"body two", headers=headers)
    assert first.status_code == 202
    stored = api.stored()
    detail = problem(api.client.post("/v1/jobs", params=parameters, content=body, headers=headers), 409, "conflict")["detail"]
    assert first.json()["id"] in detail
    assert api.stored() == stored


def test_invalid_key(api: Api) -> None:
    problem(api.client.post("/v1/jobs", content=b"x", headers={"Idempotency-Key": "k" * 256}), 422, "invalid_parameters")


def test_duplicates_at_the_same_time(any_api: Api) -> None:
    def send(_: int) -> str:
        response = any_api.client.post("/v1/jobs", content=b"race", headers={"Idempotency-Key": "race"})
        assert response.status_code == 202, response.text
        return str(response.json()["id"])

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(send, range(24)))) == 1
    with reading(any_api.engine) as session:
        assert len(session.scalars(select(Job)).all()) == 1
    soon(lambda: len(any_api.stored()) == 1, "one stored upload")
