"""Two readers: many decisions at once, a second read that is another's, where the two differ, and who is here."""

from __future__ import annotations

import csv
import io
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow.parquet as pq
import pytest

from core.db.engine import transaction
from core.db.review.presence import note_presence
from tests.integration.api.conftest import Api, problem, scored

KEYS = ["first_decision", "first_label", "first_by", "second_decision", "second_label", "second_by"]


def make_job(api: Api) -> uuid.UUID:
    """Four items, all `nv`."""
    return api.run(4, lambda number: scored(number, (0.0, 0.1, 0.1, 0.8)))


def send(api: Api, job: uuid.UUID, decisions: list[dict[str, Any]], read: int = 1, reviewer: str = "Ada") -> Any:
    body = {"decisions": [{"verdict": "agree", "reviewer": reviewer, "revision": 0} | each for each in decisions]}
    return api.client.post(f"/v1/jobs/{job}/decisions", params={"read": read}, json=body)


def decide(api: Api, job: uuid.UUID, item: int, read: int, **body: Any) -> Any:
    values = {"verdict": "agree", "reviewer": {1: "Ada", 2: "Bea", 3: "Cyd"}[read], "revision": 0} | body
    return api.client.put(f"/v1/jobs/{job}/items/{item}/decision", params={"read": read}, json=values)


def test_many_decisions_at_once(any_api: Api) -> None:
    job = make_job(any_api)
    assert decide(any_api, job, 1, 1, verdict="unsure", reviewer="Bea").status_code == 200
    found = send(any_api, job, [{"item": 0}, {"item": 1}, {"item": 2, "verdict": None, "flagged": True}]).json()
    assert [(each["item"], each["label"], each["flagged"], each["revision"]) for each in found["saved"]] == [
        (0, "nv", False, 1),
        (2, None, True, 1),
    ]
    (conflict,) = found["conflicts"]
    assert (conflict["item"], conflict["present"]["reviewer"], conflict["present"]["verdict"]) == (1, "Bea", "unsure")
    assert conflict["detail"].startswith("item 1 was decided by Bea meanwhile")
    back = send(any_api, job, [{"item": 0, "verdict": None, "revision": 1}, {"item": 1, "revision": 1}]).json()
    assert [(each["item"], each["verdict"], each["revision"]) for each in back["saved"]] == [(0, None, 2), (1, "agree", 2)]
    assert back["conflicts"] == []


@pytest.mark.parametrize(
    ("decisions", "status"),
    [
        ([], 422),
        ([{"item": 0}, {"item": 0}], 422),
        ([{"item": number} for number in range(501)], 422),
        ([{"item": 0, "verdict": "relabel", "label": "none"}], 422),
        ([{"item": 0}, {"item": 9}], 404),
    ],
    ids=["none", "twice", "too-many", "unknown-class", "missing-item"],
)
def test_what_cannot_be_decided_together(api: Api, decisions: list[dict[str, Any]], status: int) -> None:
    job = make_job(api)
    assert send(api, job, decisions).status_code == status
    assert api.client.get(f"/v1/jobs/{job}/decisions").json()["data"] == []


def test_a_second_read_is_another_readers(any_api: Api) -> None:
    job = make_job(any_api)
    assert decide(any_api, job, 0, 1).status_code == 200
    detail = problem(decide(any_api, job, 0, 2, reviewer="ADA"), 409, "conflict")["detail"]
    assert detail == "Ada made the first read of item 0: expected another reader for the other one"
    assert decide(any_api, job, 0, 2, verdict="unsure").json()["reviewer"] == "Bea"
    problem(decide(any_api, job, 0, 1, reviewer="bea", revision=1), 409, "conflict")
    assert any_api.client.get(f"/v1/jobs/{job}/items/0/decision").json()["reviewer"] == "Ada"
    assert any_api.client.get(f"/v1/jobs/{job}/items/0/decision?read=2").json()["verdict"] == "unsure"
    listed = any_api.client.get(f"/v1/jobs/{job}/decisions?read=2").json()["data"]
    assert [(each["item"], each["reviewer"]) for each in listed] == [(0, "Bea")]
    problem(any_api.client.get(f"/v1/jobs/{job}/items/0/decision?read=3"), 404, "not_found")
    problem(any_api.client.get(f"/v1/jobs/{job}/decisions?read=4"), 422, "invalid_parameters")


def test_where_two_readers_differ_and_what_is_settled(any_api: Api) -> None:
    job = make_job(any_api)
    for item, second in enumerate(({}, {"verdict": "relabel", "label": "mel"}, {"verdict": "unsure"}, None)):
        decide(any_api, job, item, 1)
        if second is not None:
            assert decide(any_api, job, item, 2, **second).status_code == 200
    found = any_api.client.get(f"/v1/jobs/{job}/disagreements").json()
    assert found["read_twice"] == 3
    pairs = [(each["item"], each["first"]["label"], each["second"]["label"], each["settled"]) for each in found["data"]]
    assert pairs == [(1, "nv", "mel", None), (2, "nv", None, None)]
    assert decide(any_api, job, 1, 3, verdict="relabel", label="mel").status_code == 200
    (first, _) = any_api.client.get(f"/v1/jobs/{job}/disagreements").json()["data"]
    assert (first["settled"]["label"], first["settled"]["reviewer"]) == ("mel", "Cyd")
    rows = any_api.client.get(f"/v1/jobs/{job}/results").json()["data"]
    assert [(row["decision"], row["decision_label"], row["decision_by"]) for row in rows] == [
        ("agree", "nv", "Ada"),
        ("relabel", "mel", "Cyd"),
        ("agree", "nv", "Ada"),
        ("agree", "nv", "Ada"),
    ]
    expected = [
        ["agree", "nv", "Ada", "agree", "nv", "Bea"],
        ["agree", "nv", "Ada", "relabel", "mel", "Bea"],
        ["agree", "nv", "Ada", "unsure", None, "Bea"],
        ["agree", "nv", "Ada", None, None, None],
    ]
    assert [[row[key] for key in KEYS] for row in rows] == expected
    table = pq.read_table(io.BytesIO(any_api.client.get(f"/v1/jobs/{job}/results.parquet").content)).to_pylist()
    assert [[row[key] for key in KEYS] for row in table] == expected
    cells = list(csv.DictReader(io.StringIO(any_api.client.get(f"/v1/jobs/{job}/results.csv").text)))
    assert [[row[key] or None for key in KEYS] for row in cells] == expected


def test_later_decisions_alone(any_api: Api) -> None:
    job = make_job(any_api)
    first = decide(any_api, job, 0, 1).json()
    at = datetime.fromisoformat(first["at"])
    for since, count in ((at, 1), (at + timedelta(milliseconds=1), 0)):
        found = any_api.client.get(f"/v1/jobs/{job}/decisions", params={"since": since.isoformat()}).json()["data"]
        assert len(found) == count
    problem(any_api.client.get(f"/v1/jobs/{job}/decisions", params={"since": "2026-01-01T00:00:00"}), 422, "invalid_parameters")


def test_who_is_here(any_api: Api) -> None:
    job, other = make_job(any_api), make_job(any_api)
    now = datetime.now(UTC)
    with transaction(any_api.engine) as session:
        for name, age in (("Bea", 10), ("Cyd", 45), ("Dan", 3600)):
            note_presence(session, job, name, now - timedelta(seconds=age))
        note_presence(session, job, "Bea", now - timedelta(seconds=60))  # an older word changes nothing
        note_presence(session, other, "Eve", now)
    found = any_api.client.post(f"/v1/jobs/{job}/reviewers", json={"reviewer": "Ada"}).json()
    assert [each["reviewer"] for each in found["data"]] == ["Ada", "Bea"]
    assert datetime.fromisoformat(found["now"]) >= now
    problem(any_api.client.post(f"/v1/jobs/{job}/reviewers", json={"reviewer": ""}), 422, "invalid_parameters")
    problem(any_api.client.post(f"/v1/jobs/{uuid.uuid4()}/reviewers", json={"reviewer": "Ada"}), 404, "not_found")


def test_items_by_name(any_api: Api) -> None:
    names = ("Clinic/ISIC_01.jpg", "clinic/isic_02.jpg", "Ärzte/x.png", "a\udcff_01.jpg")
    job = any_api.run(4, lambda number: scored(number, (0.0, 0.1, 0.1, 0.8), name=names[number]))

    def matches(text: str) -> list[int]:
        found: list[int] = any_api.client.get(f"/v1/jobs/{job}/matches", params={"name": text}).json()["item"]
        return found

    assert (matches("isic"), matches("_01"), matches("ÄRZTE"), matches("none")) == ([0, 1], [0, 3], [2], [])
    problem(any_api.client.get(f"/v1/jobs/{job}/matches"), 422, "invalid_parameters")
