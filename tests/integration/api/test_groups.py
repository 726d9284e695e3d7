"""Items by a column of the archive's table, the group's highest risk first. On both databases."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.integration.api.conftest import Api, failed, problem, scored

PATIENTS = ("P1", "P2", "P1", "", "P3", "P2", "P4")
RISKS = (0.2, 0.9, 0.4, 1.0, None, 0.1, None)


def outcome(number: int) -> Any:
    risk = RISKS[number]
    found = failed(number) if risk is None else scored(number, (0.0, 0.0, risk, 1.0 - risk))
    return replace(found, metadata={"patient_id": PATIENTS[number], "site": "back"})


def make_job(api: Api) -> Any:
    job = api.submit()
    api.start(job, items=7, metadata_columns=("patient_id", "site"))
    api.finish(job, 0, outcome)
    return job


def test_the_highest_risk_stands_for_its_group(any_api: Api) -> None:
    url = f"/v1/jobs/{make_job(any_api)}/groups"
    found = any_api.client.get(url, params={"by": "patient_id"}).json()
    assert (found["by"], found["groups"]) == ("patient_id", 4)
    keys = ("value", "items", "failed", "flagged", "risk", "item")
    assert [tuple(each[key] for key in keys) for each in found["data"]] == [
        ("P2", 2, 0, 1, 0.9, 1),
        ("P1", 2, 0, 0, 0.4, 2),
        ("P3", 1, 1, 0, None, None),
        ("P4", 1, 1, 0, None, None),
    ]
    part = any_api.client.get(url, params={"by": "patient_id", "offset": 1, "limit": 1}).json()
    assert ([each["value"] for each in part["data"]], part["groups"]) == (["P1"], 4)


def test_only_columns_that_are_there(api: Api) -> None:
    refused = api.client.get(f"/v1/jobs/{make_job(api)}/groups", params={"by": "patient"})
    detail = problem(refused, 422, "invalid_parameters")["detail"]
    assert detail == "query.by: expected one of patient_id, site; did you mean patient_id?"
    plain = api.run(1, lambda number: scored(number, (0.0, 0.1, 0.7, 0.2)))
    problem(api.client.get(f"/v1/jobs/{plain}/groups", params={"by": "patient_id"}), 422, "invalid_parameters")


def test_which_item_is_in_which_group(any_api: Api) -> None:
    job = make_job(any_api)
    found = any_api.client.get(f"/v1/jobs/{job}/members", params={"by": "patient_id"}).json()
    assert found["values"] == ["P2", "P1", "P3", "P4"]
    assert list(zip(found["item"], found["group"], strict=True)) == [(1, 0), (5, 0), (0, 1), (2, 1), (4, 2), (6, 3)]
    alike = any_api.client.get(f"/v1/jobs/{job}/members").json()
    assert (alike["by"], alike["values"], alike["item"], alike["group"]) == (None, [], [], [])
    problem(any_api.client.get(f"/v1/jobs/{job}/members", params={"by": "patient"}), 422, "invalid_parameters")


def test_a_retried_job_is_grouped_anew(api: Api) -> None:
    job = make_job(api)
    url = f"/v1/jobs/{job}/groups?by=patient_id"
    assert api.client.get(url).json()["data"][2]["value"] == "P3"
    assert api.client.post(f"/v1/jobs/{job}/retry", json={}).status_code == 200
    api.finish(job, 1, lambda number: replace(scored(number, (0.0, 0.0, 0.95, 0.05)), metadata={"patient_id": "P3"}))
    found = api.client.get(url).json()["data"]
    assert [(each["value"], each["items"], each["risk"]) for each in found[:2]] == [("P3", 2, 0.95), ("P2", 2, 0.9)]
