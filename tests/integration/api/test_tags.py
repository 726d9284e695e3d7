"""Words on jobs, and jobs by name. On both databases."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.integration.api.conftest import Api, problem


def names(api: Api, **query: Any) -> list[str]:
    return [job["name"] for job in api.client.get("/v1/jobs", params=query).json()["data"]]


def test_jobs_are_found_by_name_and_tag(any_api: Api) -> None:
    jobs = {name: any_api.submit(name=name) for name in ("Ward_7.zip", "ward 8.zip", "100%.zip")}
    assert (names(any_api, name="WARD"), names(any_api, name="_"), names(any_api, name="%")) == (
        ["ward 8.zip", "Ward_7.zip"],
        ["Ward_7.zip"],
        ["100%.zip"],
    )
    url = f"/v1/jobs/{jobs['Ward_7.zip']}/tags"
    tagged = any_api.client.put(url, json={"tags": [" second visit", "a", "a"]}).json()
    assert tagged["tags"] == ["a", "second visit"]
    any_api.client.put(f"/v1/jobs/{jobs['100%.zip']}/tags", json={"tags": ["a"]})
    assert names(any_api, tag="a") == ["100%.zip", "Ward_7.zip"]
    assert names(any_api, tag="a", name="ward", state="queued") == ["Ward_7.zip"]
    assert any_api.client.get(f"/v1/jobs/{jobs['Ward_7.zip']}").json()["tags"] == ["a", "second visit"]
    assert any_api.client.put(url, json={"tags": []}).json()["tags"] == []
    assert names(any_api, tag="second visit") == []


def test_tags_go_with_their_job(any_api: Api) -> None:
    job = any_api.submit()
    any_api.client.put(f"/v1/jobs/{job}/tags", json={"tags": ["a"]})
    any_api.client.post(f"/v1/jobs/{job}/cancel")
    assert any_api.client.delete(f"/v1/jobs/{job}").status_code == 204
    assert names(any_api, tag="a") == []


@pytest.mark.parametrize(
    "tags",
    [[""], ["  "], ["a,b"], ["a\n"], ["x" * 41], ["x"] * 17, "a"],
    ids=["empty", "blank", "comma", "line", "long", "many", "text"],
)
def test_what_is_no_tag(api: Api, tags: Any) -> None:
    problem(api.client.put(f"/v1/jobs/{api.submit()}/tags", json={"tags": tags}), 422, "invalid_parameters")


def test_tags_of_no_job(api: Api) -> None:
    problem(api.client.put(f"/v1/jobs/{uuid.uuid4()}/tags", json={"tags": ["a"]}), 404, "not_found")
