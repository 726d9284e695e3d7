"""Items by risk and class, on both databases."""

from __future__ import annotations

import pytest

from tests.integration.api.conftest import Api, failed, problem, scored


def test_risk_and_class_are_counted(any_api: Api) -> None:
    rows = [(0.05, 0.0, 0.0, 0.95), (0.0, 0.35, 0.0, 0.65), (0.0, 0.0, 1.0, 0.0), (0.0, 0.0, 0.5, 0.5), (0.0, 0.1, 0.05, 0.85)]
    job = any_api.run(6, lambda number: failed(number) if number == 5 else scored(number, rows[number]))
    found = any_api.client.get(f"/v1/jobs/{job}/histogram").json()
    assert (found["object"], found["bins"], found["items"], found["flagged"], found["threshold"]) == (
        "histogram",
        20,
        5,
        2,
        0.5,
    )
    # An edge belongs to the bin above it, as the risk is shown: 0.05 and 0.35 are no binary fractions. 1 is in the last bin.
    assert {at: items for at, items in enumerate(found["risk"]) if items} == {1: 1, 3: 1, 7: 1, 10: 1, 19: 1}
    assert {label: sum(counts) for label, counts in found["labels"].items()} == {"mel": 2, "nv": 3}
    assert found["labels"]["mel"][19] == 1


def test_filters_and_bins(any_api: Api) -> None:
    job = any_api.run(10, lambda number: scored(number, (0.0, 0.0, number / 10, 1 - number / 10)))
    found = any_api.client.get(f"/v1/jobs/{job}/histogram", params={"bins": 2, "flagged": "true"}).json()
    assert (found["risk"], found["flagged"]) == ([0, 5], 5)
    assert any_api.client.get(f"/v1/jobs/{job}/histogram", params={"label": "bcc"}).json()["risk"] == [0] * 20


@pytest.mark.parametrize(("query", "status"), [({"bins": 0}, 422), ({"bins": 201}, 422), ({"label": "none"}, 422)], ids=str)
def test_refusals(api: Api, query: dict[str, object], status: int) -> None:
    job = api.run(1, lambda number: scored(number, (0.1, 0.1, 0.1, 0.7)))
    problem(api.client.get(f"/v1/jobs/{job}/histogram", params=query), status, "invalid_parameters")


def test_a_job_without_rows(api: Api) -> None:
    found = api.client.get(f"/v1/jobs/{api.submit()}/histogram").json()
    assert (found["items"], found["threshold"], found["labels"], sum(found["risk"])) == (0, None, {}, 0)
