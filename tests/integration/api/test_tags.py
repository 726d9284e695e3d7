"""Words on jobs, and jobs by name. On both databases."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.integration.api.conftest import Api, problem
from tests.support.stack import jpeg, write_zip


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


@pytest.mark.parametrize("way", ["query", "query with commas", "form", "json"])
def test_tags_are_given_with_the_submission(api: Api, tmp_path: Path, way: str) -> None:
    archive = write_zip(tmp_path / "a.zip", [("a.jpg", jpeg(1))]).read_bytes()
    wanted = ["second visit", "ward 7"]
    if way == "query":
        answer = api.client.post("/v1/jobs", params={"tags": wanted}, content=archive)
    elif way == "query with commas":
        answer = api.client.post("/v1/jobs", params={"tags": "ward 7, second visit,,ward 7"}, content=archive)
    elif way == "form":
        answer = api.client.post("/v1/jobs", files={"archive": ("a.zip", archive)}, data={"tags": "second visit,ward 7"})
    else:
        first = api.client.post("/v1/jobs", content=archive).json()["id"]
        answer = api.client.post("/v1/jobs", json={"source": f"job:{first}", "tags": wanted})
    assert answer.status_code == 202, answer.text
    job = answer.json()
    assert job["tags"] == wanted
    assert api.client.get(f"/v1/jobs/{job['id']}").json()["tags"] == wanted
    assert job["id"] in [each["id"] for each in api.client.get("/v1/jobs", params={"tag": "ward 7"}).json()["data"]]


def test_a_request_with_other_tags_is_another_request(api: Api, tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", [("a.jpg", jpeg(2))]).read_bytes()

    def send(*tags: str) -> Any:
        headers = {"Idempotency-Key": "tagged"}
        return api.client.post("/v1/jobs", params={"tags": list(tags)}, content=archive, headers=headers)

    first = send("b", "a")
    assert send("a", "b").json()["id"] == first.json()["id"]
    problem(send("a"), 409, "conflict")


def test_what_is_no_tag_is_refused_with_the_submission(api: Api) -> None:
    for tags in (["x" * 41], ["a\n"], [str(number) for number in range(17)]):
        problem(api.client.post("/v1/jobs", params={"tags": tags}, content=b"PK"), 422, "invalid_parameters")
    problem(api.client.post("/v1/jobs", json={"source": "s3://a/b", "tags": [1]}), 422, "invalid_parameters")


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
