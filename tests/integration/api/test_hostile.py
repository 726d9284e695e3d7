"""Requests that nobody should send: pages of other sites, and nonsense. Never a 5xx."""

from __future__ import annotations

import json
import uuid
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.api.conftest import Api, problem, scored

WORDS = st.text(max_size=8) | st.sampled_from(
    ["nan", "inf", "-1", "1e999", "9" * 30, "true", "\0", "item", "-risk", "failed", "0.5"]
)
KEYS = st.sampled_from(
    [
        "label",
        "min_risk",
        "max_risk",
        "status",
        "flagged",
        "sort",
        "limit",
        "cursor",
        "count",
        "code",
        "state",
        "size",
        "version",
        "name",
    ]
)
QUERIES = st.dictionaries(KEYS, WORDS, max_size=4)
SEGMENTS = st.sampled_from(
    ["results", "results.csv", "results.jsonl", "results.parquet", "errors", "items/0/image", "items/1/thumbnail", ""]
)
FUZZ = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def check(response: httpx2.Response) -> None:
    assert response.status_code < 500, response.text
    assert response.headers["x-content-type-options"] == "nosniff"
    if response.status_code >= 400:
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["status"] == response.status_code


@pytest.fixture(scope="module")
def job(api: Api) -> uuid.UUID:
    return api.run(5, lambda number: scored(number, [0.1, 0.2, 0.3, 0.4]))


@FUZZ
@given(SEGMENTS, QUERIES)
def test_reading(api: Api, job: uuid.UUID, segment: str, query: dict[str, str]) -> None:
    check(api.client.get(f"/v1/jobs/{job}/{segment}", params=query))


@FUZZ
@given(QUERIES)
def test_listing(api: Api, query: dict[str, str]) -> None:
    check(api.client.get("/v1/jobs", params=query))


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | WORDS, lambda inner: st.lists(inner, max_size=3))
BODIES = st.dictionaries(
    st.sampled_from(["source", "model", "label", "version", "priority", "codes", "error_budget"]) | WORDS, JSON
)


@FUZZ
@given(BODIES | JSON, st.sampled_from(["", "/{job}/retry"]))
def test_json_bodies(api: Api, job: uuid.UUID, body: Any, path: str) -> None:
    content = json.dumps(body).encode()
    check(api.client.post(f"/v1/jobs{path.format(job=job)}", content=content, headers={"Content-Type": "application/json"}))


def test_a_form_whose_part_has_a_head_of_other_bytes_is_refused(api: Api) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = api.client.post("/v1/jobs", content=b"--b\r\n\x80: 1\r\n", headers=headers)
    assert answer.status_code == 400, answer.text
    assert "expected the heads of its parts in UTF-8" in answer.json()["detail"]


@FUZZ
@given(
    st.binary(max_size=200),
    st.sampled_from(["multipart/form-data; boundary=b", 'multipart/form-data; boundary="', "image/png", ""]),
)
def test_bodies(api: Api, body: bytes, content_type: str) -> None:
    headers = {"Content-Type": content_type}
    check(api.client.post("/v1/jobs", content=b"--b\r\n" + body, headers=headers))
    check(api.client.post("/v1/classify", content=body, headers=headers))


@FUZZ
@given(st.text(st.characters(codec="utf-8"), max_size=20))
def test_addresses(api: Api, text: str) -> None:
    from urllib.parse import quote

    for path in (f"/v1/jobs/{quote(text, safe='')}", f"/v1/models/{quote(text, safe='')}", f"/{quote(text)}"):
        response = api.client.get(path)
        if not path.startswith("/v1/models"):  # which asks serving, and that is away
            check(response)


def test_pages_of_other_sites_change_nothing(api: Api) -> None:
    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ):
        problem(api.client.post("/v1/jobs", content=b"x", headers=headers), 403, "cross_site")
        assert api.client.get("/v1/jobs", headers=headers).status_code == 200  # without CORS headers no page can read it
    own = {"Origin": api.url, "Sec-Fetch-Site": "same-origin"}
    assert api.client.post("/v1/jobs", content=b"x", headers=own).status_code == 202
    assert api.client.post("/v1/jobs", content=b"x", headers={"Origin": api.url}).status_code == 202


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "[", ""])
def test_rebound_names_are_refused(api: Api, host: str) -> None:
    problem(api.client.get("/v1/jobs", headers={"Host": host}), 421, "unknown_host")
    assert api.client.get("/v1/jobs", headers={"Host": f"localhost:{api.settings.api.port}"}).status_code == 200
