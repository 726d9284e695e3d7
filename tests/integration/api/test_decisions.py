"""What readers decide: saved at once, never overwritten unseen, and in all results. On both databases."""

from __future__ import annotations

import csv
import io
import json
import uuid
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.integration.api.conftest import Api, failed, problem, scored

NONE = dict.fromkeys(["decision", "decision_label", "decision_flag", "decision_note", "decision_by", "decision_at"])


def decide(api: Api, job: uuid.UUID, item: int, **body: Any) -> Any:
    values = {"verdict": "agree", "reviewer": "Ada", "revision": 0} | body
    return api.client.put(f"/v1/jobs/{job}/items/{item}/decision", json=values)


def make_job(api: Api) -> uuid.UUID:
    """Five items: `nv` but for item 2, which is `mel`, and item 4, which failed."""

    def outcome(number: int) -> Any:
        return failed(number) if number == 4 else scored(number, (0.0, 0.1, 0.7, 0.2) if number == 2 else (0.0, 0.1, 0.1, 0.8))

    return api.run(5, outcome)


def test_decisions_are_saved_and_counted_by_revision(any_api: Api) -> None:
    job = make_job(any_api)
    first = decide(any_api, job, 2).json()
    assert {key: first[key] for key in ("item", "verdict", "label", "flagged", "note", "reviewer", "revision")} == {
        "item": 2,
        "verdict": "agree",
        "label": "mel",  # the model's
        "flagged": False,
        "note": "",
        "reviewer": "Ada",
        "revision": 1,
    }
    second = decide(any_api, job, 2, verdict="relabel", label="bcc", flagged=True, note="=odd, \n", revision=1).json()
    assert (second["verdict"], second["label"], second["flagged"], second["revision"]) == ("relabel", "bcc", True, 2)
    assert decide(any_api, job, 4, verdict="unsure").json()["label"] is None  # a failed item may be looked at, too
    listed = any_api.client.get(f"/v1/jobs/{job}/decisions").json()["data"]
    assert [(each["item"], each["revision"]) for each in listed] == [(2, 2), (4, 1)]
    assert any_api.client.get(f"/v1/jobs/{job}/items/2/decision").json() == second


def test_nobody_is_overwritten_unseen(any_api: Api) -> None:
    job = make_job(any_api)
    assert decide(any_api, job, 0).status_code == 200
    detail = problem(decide(any_api, job, 0, verdict="unsure", reviewer="Bea"), 409, "conflict")["detail"]
    assert detail.startswith("item 0 was decided by Ada meanwhile: expected revision 1, got 0")
    problem(decide(any_api, job, 0, verdict="unsure", reviewer="Bea", revision=7), 409, "conflict")
    problem(decide(any_api, job, 1, revision=1), 409, "conflict")
    assert any_api.client.get(f"/v1/jobs/{job}/items/0/decision").json()["reviewer"] == "Ada"
    # Taken back, it is no decision any more, but its revision grows: who has seen it before is not taken for up to date.
    assert decide(any_api, job, 0, verdict=None, revision=1).json()["revision"] == 2
    problem(decide(any_api, job, 0, verdict="unsure", reviewer="Bea", revision=1), 409, "conflict")


def test_results_have_decisions_once_there_are_any(any_api: Api) -> None:
    job = make_job(any_api)
    url = f"/v1/jobs/{job}"
    assert "decision" not in any_api.client.get(f"{url}/results").json()["data"][0]
    assert "decision" not in any_api.client.get(f"{url}/results.csv").text
    at = decide(any_api, job, 2, verdict="relabel", label="bcc", flagged=True, note="=1+1").json()["at"]
    expected = {
        "decision": "relabel",
        "decision_label": "bcc",
        "decision_flag": True,
        "decision_note": "=1+1",
        "decision_by": "Ada",
        "decision_at": at,
    }
    rows = any_api.client.get(f"{url}/results", params={"sort": "-risk"}).json()["data"]
    assert [{key: row[key] for key in NONE} for row in rows] == [expected, NONE, NONE, NONE, NONE]
    lines = [json.loads(line) for line in any_api.client.get(f"{url}/results.jsonl").text.splitlines()]
    assert [{key: line[key] for key in NONE} for line in lines] == [NONE, NONE, expected, NONE, NONE]
    assert any_api.client.get(f"{url}/items/2").json() == lines[2]
    cells = list(csv.DictReader(io.StringIO(any_api.client.get(f"{url}/results.csv").text)))
    assert [cells[2][key] for key in NONE] == ["relabel", "bcc", "true", "'=1+1", "Ada", at]
    assert [cells[0][key] for key in NONE] == [""] * 6
    table = pq.read_table(io.BytesIO(any_api.client.get(f"{url}/results.parquet").content)).to_pylist()
    assert [{key: row[key] for key in NONE} for row in table] == [NONE, NONE, expected, NONE, NONE]


def test_decisions_go_with_their_job(any_api: Api) -> None:
    job = make_job(any_api)
    decide(any_api, job, 0)
    assert any_api.client.delete(f"/v1/jobs/{job}").status_code == 204
    problem(any_api.client.get(f"/v1/jobs/{job}/decisions"), 404, "not_found")


@pytest.mark.parametrize(
    "change",
    [
        {"verdict": "maybe"},
        {"verdict": "relabel"},
        {"label": "mel"},
        {"verdict": "relabel", "label": "none"},
        {"reviewer": ""},
        {"reviewer": "a\x00b"},
        {"note": "x" * 2001},
        {"revision": -1},
        {"more": 1},
    ],
    ids=str,
)
def test_what_cannot_be_decided(api: Api, change: dict[str, Any]) -> None:
    job = make_job(api)
    problem(decide(api, job, 0, **change), 422, "invalid_parameters")
    problem(api.client.get(f"/v1/jobs/{job}/items/0/decision"), 404, "not_found")


def test_what_is_not_there(api: Api) -> None:
    problem(decide(api, make_job(api), 5), 404, "not_found")
    problem(decide(api, uuid.UUID(int=3), 0), 404, "not_found")
    problem(api.client.put(f"/v1/jobs/{make_job(api)}/items/0/decision", content=b"x" * 2_000_000), 413, "too_large")


def test_rows_in_columns(any_api: Api) -> None:
    job = make_job(any_api)
    found = any_api.client.get(f"/v1/jobs/{job}/overview").json()
    assert found["item"] == [0, 1, 2, 3, 4]
    assert found["risk"] == [pytest.approx(0.2), pytest.approx(0.2), pytest.approx(0.8), pytest.approx(0.2), None]
    assert found["label"] == [3, 3, 2, 3, None]
    assert found["margin"] == [pytest.approx(0.7), pytest.approx(0.7), pytest.approx(0.5), pytest.approx(0.7), None]
    assert (found["classes"], found["threshold"], found["next"]) == (["akiec", "bcc", "mel", "nv"], 0.5, None)
    part = any_api.client.get(f"/v1/jobs/{job}/overview", params={"after": 1, "limit": 2}).json()
    assert (part["item"], part["next"]) == ([2, 3], 3)
    whole = any_api.client.get(f"/v1/jobs/{job}/overview", params={"limit": 5}).json()
    assert (whole["item"], whole["next"], whole["truth"]) == ([0, 1, 2, 3, 4], None, [])
    for label in ("bcc", "mel"):  # the truth of a job that has ended may change
        assert any_api.client.delete(f"/v1/jobs/{job}/truth").status_code in (204, 404)
        table = f"name,label\nimages/000002.jpg,{label}\n".encode()
        given = any_api.client.put(f"/v1/jobs/{job}/truth", content=table, headers={"Content-Type": "text/csv"})
        assert given.status_code == 200, given.text
        again = any_api.client.get(f"/v1/jobs/{job}/overview", params={"limit": 5}).json()
        assert again["truth"] == [None, None, ["akiec", "bcc", "mel"].index(label), None, None]
    empty = any_api.client.get(f"/v1/jobs/{any_api.submit()}/overview").json()
    assert (empty["item"], empty["classes"], empty["next"]) == ([], [], None)
