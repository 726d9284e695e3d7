"""Pages and files of results: every sort and filter equals a reference that is sorted in Python."""

from __future__ import annotations

import csv
import functools
import io
import itertools
import json
import operator
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import numpy as np
import pyarrow.parquet as pq
import pytest

from core.db.engine import transaction
from core.db.models import Job
from core.db.outcomes import ItemOutcome
from core.db.results import export_results
from core.errors import ItemErrorCode
from core.notes import ItemNote
from core.precision import as_shown
from tests.integration.api.conftest import CLASSES, Api, failed, problem, scored

ITEMS = 7013
COLUMNS = [
    *("item", "name", "status", "label", "score", "risk"),
    *(f"p_{name}" for name in CLASSES),
    *("flag", "error_code", "error", "width", "height", "model", "version", "novelty", "uncertainty", "notes"),
]
CODES = (ItemErrorCode.TRUNCATED, ItemErrorCode.NOT_AN_IMAGE)
# Of every item that has one; the greatest and the least float32 are finite, too.
NOVELTIES = (0.25, 1.5, 0.1, 0.25, 3.4028235e38, 0.0, 1.0000001)
NOTES = ((), (), (ItemNote.OVER_EXPOSED,), (ItemNote.LOW_RESOLUTION, ItemNote.GREYSCALE), (ItemNote.UNDER_EXPOSED,))


def outcome(number: int) -> ItemOutcome:
    """Every eleventh item fails; many risks are equal, so that ties are tested."""
    if number % 11 == 0:
        return failed(number, CODES[number % 2])
    values = np.random.default_rng(number).dirichlet(np.ones(len(CLASSES))).astype(np.float32)
    notes = NOTES[number % len(NOTES)]
    if number % 5 == 0:
        values = np.array([0.25, 0.125, 0.125, 0.5], np.float32)
    # Some rows have none, as those of a job that began under an earlier release.
    novelty = None if number % 13 == 0 else NOVELTIES[number % len(NOVELTIES)]
    if novelty is not None and novelty > 1:
        notes = (*notes, ItemNote.UNLIKE_TRAINING)
    return replace(scored(number, values), notes=notes, novelty=novelty)


@pytest.fixture(scope="module")
def job(api: Api) -> uuid.UUID:
    return api.run(ITEMS, outcome, name="lesions.zip")


@pytest.fixture(scope="module")
def reference() -> list[dict[str, Any]]:
    return [expected(outcome(number)) for number in range(ITEMS)]


def shortest(value: float | None) -> float | None:
    return None if value is None else float(str(np.float32(value)))


def expected(item: ItemOutcome) -> dict[str, Any]:
    values = [None] * len(CLASSES) if item.probabilities is None else np.frombuffer(item.probabilities, "<f4").tolist()
    return {
        "item": item.item_no,
        "name": item.name,
        "status": "failed" if item.failed else "succeeded",
        "label": item.label,
        "score": shortest(item.score),
        "risk": shortest(item.risk),
        **{f"p_{name}": shortest(value) for name, value in zip(CLASSES, values, strict=True)},
        "flag": item.flag,
        "error_code": None if item.error_code is None else str(item.error_code),
        "error": item.error,
        "width": item.width,
        "height": item.height,
        "model": "tiny",
        "version": 3,
        "novelty": shortest(item.novelty),
        "uncertainty": shortest(item.uncertainty),
        "notes": list(map(str, item.notes)),
    }


def chosen(rows: list[dict[str, Any]], sort: str, query: dict[str, str]) -> list[dict[str, Any]]:
    """The reference: what a page or file must hold, in order."""
    kept = [row for row in rows if matches(row, query)]
    if sort == "item":
        return kept
    key = sort.removeprefix("-")
    with_value = sorted((row for row in kept if row[key] is not None), key=lambda row: (row[key], row["item"]))
    if sort.startswith("-"):
        with_value.reverse()
    return with_value + [row for row in kept if row[key] is None]


def matches(row: dict[str, Any], query: dict[str, str]) -> bool:
    risk, novelty = row["risk"], row["novelty"]
    if "min_novelty" in query and (novelty is None or novelty < float(query["min_novelty"])):
        return False
    if ("min_risk" in query or "max_risk" in query) and risk is None:
        return False
    return (
        query.get("label", row["label"]) == row["label"]
        and (risk is None or float(query.get("min_risk", 0)) <= risk <= float(query.get("max_risk", 1)))
        and query.get("status", row["status"]) == row["status"]
        and ("flagged" not in query or row["flag"] is (query["flagged"] == "true"))
        and ("note" not in query or query["note"] in row["notes"])
    )


def pages(api: Api, job: uuid.UUID, **query: str) -> Iterator[list[dict[str, Any]]]:
    url: str | None = str(api.client.build_request("GET", f"/v1/jobs/{job}/results", params=query).url)
    while url:
        response = api.client.get(url)
        assert response.status_code == 200, response.text
        page = response.json()
        assert page["object"] == "list"
        assert response.headers.get("link") == (f'<{page["next"]}>; rel="next"' if page["next"] else None)
        yield page["data"]
        url = page["next"]


SORTS = ("item", "risk", "-risk", "novelty", "-novelty")
FILTERS: tuple[dict[str, str], ...] = (
    {},
    {"label": "mel"},
    {"label": "mel", "min_risk": "0.6"},
    {"min_risk": "0.3", "max_risk": "0.7"},
    {"status": "failed"},
    {"status": "succeeded"},
    {"flagged": "true"},
    {"flagged": "false", "label": "nv"},
    {"note": "low_resolution"},
    {"note": "over_exposed", "min_risk": "0.3"},
    {"note": "blurred"},
    {"note": "greyscale", "status": "failed"},
    {"status": "failed", "min_risk": "0.1"},
    {"note": "unlike_training"},
    {"min_novelty": "0.25", "label": "nv"},
    {"min_novelty": "1.0000001", "max_risk": "0.7"},
    {"status": "failed", "min_novelty": "0.1"},
)


@pytest.mark.parametrize(("sort", "query"), [*itertools.product(SORTS, FILTERS)])
def test_pages_equal_the_reference(
    api: Api, job: uuid.UUID, reference: list[dict[str, Any]], sort: str, query: dict[str, str]
) -> None:
    found = list(pages(api, job, sort=sort, limit="997", **query))
    assert all(len(page) == 997 for page in found[:-1])
    rows = [row for page in found for row in page]
    assert rows == chosen(reference, sort, query)
    if rows:
        assert list(rows[0]) == COLUMNS


@pytest.mark.parametrize("limit", ["1", "7", "1000"])
def test_page_sizes(api: Api, job: uuid.UUID, reference: list[dict[str, Any]], limit: str) -> None:
    query = {"status": "failed", "limit": limit, "sort": "-risk"}
    found = list(itertools.islice(pages(api, job, **query), 50))
    rows = [row for page in found for row in page]
    assert rows == chosen(reference, "-risk", {"status": "failed"})[: len(rows)]


def test_next_keeps_the_query(api: Api, job: uuid.UUID) -> None:
    page = api.client.get(f"/v1/jobs/{job}/results", params={"sort": "-risk", "label": "mel", "limit": 5}).json()
    query = parse_qs(urlsplit(page["next"]).query)
    assert (query["sort"], query["label"], query["limit"]) == (["-risk"], ["mel"], ["5"])


@pytest.mark.parametrize("query", FILTERS)
def test_count(api: Api, job: uuid.UUID, reference: list[dict[str, Any]], query: dict[str, str]) -> None:
    page = api.client.get(f"/v1/jobs/{job}/results", params={"count": "true", "limit": 1, **query}).json()
    assert page["count"] == len(chosen(reference, "item", query))


@pytest.mark.parametrize(
    ("sort", "query"),
    [("item", {}), ("-risk", {}), ("risk", {"label": "mel"}), ("item", {"status": "failed"}), ("-novelty", {})],
)
def test_files_equal_pages(api: Api, job: uuid.UUID, reference: list[dict[str, Any]], sort: str, query: dict[str, str]) -> None:
    rows = chosen(reference, sort, query)
    parameters = {"sort": sort, **query}
    jsonl = api.client.get(f"/v1/jobs/{job}/results.jsonl", params=parameters)
    assert [json.loads(line) for line in jsonl.text.splitlines()] == rows
    table = csv.DictReader(io.StringIO(api.client.get(f"/v1/jobs/{job}/results.csv", params=parameters).text))
    assert [from_csv(row) for row in table] == rows
    assert table.fieldnames == COLUMNS
    parquet = pq.read_table(io.BytesIO(api.client.get(f"/v1/jobs/{job}/results.parquet", params=parameters).content))
    assert parquet.column_names == COLUMNS
    assert [rounded(row) for row in parquet.to_pylist()] == rows


def from_csv(row: dict[str, str]) -> dict[str, Any]:
    typed: dict[str, Any] = {key: value or None for key, value in row.items()}
    for key in ("item", "width", "height", "version"):
        typed[key] = None if typed[key] is None else int(typed[key])
    for key in ("score", "risk", "novelty", *(f"p_{name}" for name in CLASSES)):
        typed[key] = None if typed[key] is None else float(typed[key])
    typed["notes"] = row["notes"].split(";") if row["notes"] else []
    typed["flag"] = {None: None, "true": True, "false": False}[typed["flag"]]
    return typed


def rounded(row: dict[str, Any]) -> dict[str, Any]:
    return {key: shortest(value) if isinstance(value, float) else value for key, value in row.items()}


def test_file_headers(api: Api, job: uuid.UUID) -> None:
    response = api.client.get(f"/v1/jobs/{job}/results.csv", params={"note": "extra_pages"})
    assert response.headers["content-type"].startswith("text/csv")
    assert response.headers["content-disposition"].startswith('attachment; filename="lesions.zip-results.csv"')
    assert response.text == ",".join(COLUMNS) + "\n"
    assert api.client.get(f"/v1/jobs/{job}/results.jsonl", params={"note": "extra_pages"}).content == b""
    empty = pq.read_table(io.BytesIO(api.client.get(f"/v1/jobs/{job}/results.parquet", params={"note": "extra_pages"}).content))
    assert (empty.num_rows, empty.column_names) == (0, COLUMNS)


def test_the_job_counts_its_notes(any_api: Api) -> None:
    job = any_api.run(110, outcome)
    notes = Counter(str(note) for number in range(110) for note in outcome(number).notes)
    shown = any_api.client.get(f"/v1/jobs/{job}").json()
    quality = {"over_exposed": 20, "low_resolution": 20, "greyscale": 20, "under_exposed": 20}
    assert shown["item_notes"] == notes == {**quality, "unlike_training": notes["unlike_training"]}
    assert notes["unlike_training"] > 20
    assert sum(shown["labels"].values()) == shown["counts"]["succeeded"] == 100
    answer = problem(any_api.client.get(f"/v1/jobs/{job}/results?note=over-exposed"), 422, "invalid_parameters")
    assert "'over_exposed'" in answer["detail"]


def test_errors(api: Api, job: uuid.UUID, reference: list[dict[str, Any]]) -> None:
    url: str | None = f"/v1/jobs/{job}/errors?limit=200"
    found = []
    while url:
        page = api.client.get(url).json()
        found += page["data"]
        url = page["next"]
    bad = [row for row in reference if row["status"] == "failed"]
    assert found == [{"item": r["item"], "name": r["name"], "code": r["error_code"], "message": r["error"]} for r in bad]
    only = api.client.get(f"/v1/jobs/{job}/errors", params={"code": "truncated", "limit": 1000}).json()["data"]
    assert [row["item"] for row in only] == [row["item"] for row in bad if row["error_code"] == "truncated"]


def test_cursors_are_checked(api: Api, job: uuid.UUID) -> None:
    good = parse_qs(urlsplit(api.client.get(f"/v1/jobs/{job}/results?sort=risk&limit=1").json()["next"]).query)["cursor"][0]
    problem(api.client.get(f"/v1/jobs/{job}/results", params={"sort": "-risk", "cursor": good}), 400, "invalid_request")
    for bad in ("x", "AAAA", "W10", good[:-3], "ä", "WyJyIiwgIml0ZW0iLCAxZTk5OSwgbnVsbF0"):
        problem(api.client.get(f"/v1/jobs/{job}/results", params={"sort": "risk", "cursor": bad}), 400, "invalid_request")


def test_pages_on_each_database(any_api: Api) -> None:
    """NULLs sort differently in the two: the pages do not."""
    job = any_api.run(300, outcome)
    rows = [expected(outcome(number)) for number in range(300)]
    for sort, query in itertools.product(
        SORTS, ({}, {"label": "mel"}, {"status": "failed"}, {"flagged": "true"}, {"note": "greyscale"}, {"min_novelty": "0.25"})
    ):
        found = [row for page in pages(any_api, job, sort=sort, limit="50", **query) for row in page]
        assert found == chosen(rows, sort, query)
        file = any_api.client.get(f"/v1/jobs/{job}/results.jsonl", params={"sort": sort, **query}).text
        assert [json.loads(line) for line in file.splitlines()] == found


def test_a_job_whose_version_measures_no_novelty_or_no_risk_is_sorted_and_filtered_all_the_same(any_api: Api) -> None:
    job = any_api.run(25, lambda number: replace(outcome(number), novelty=None))
    rows = any_api.client.get(f"/v1/jobs/{job}/results?limit=100").json()["data"]
    assert {row["novelty"] for row in rows} == {None}
    for sort in ("novelty", "-novelty"):
        assert [row for page in pages(any_api, job, sort=sort, limit="7") for row in page] == rows
        nv = [row for page in pages(any_api, job, sort=sort, limit="7", label="nv") for row in page]
        assert nv == [row for row in rows if row["label"] == "nv"] != []
    assert any_api.client.get(f"/v1/jobs/{job}/results?min_novelty=0").json()["data"] == []
    no_risk = any_api.run(25, lambda number: replace(outcome(number), novelty=None, risk=None, flag=None))
    nv = any_api.client.get(f"/v1/jobs/{no_risk}/results?label=nv&sort=-risk").json()["data"]
    assert [row["item"] for row in nv] == [row["item"] for row in rows if row["label"] == "nv"]
    for bad in ("nan", "inf", "1e300", "much"):
        problem(any_api.client.get(f"/v1/jobs/{job}/results?min_novelty={bad}"), 422, "invalid_parameters")


EDGES = (0.7, 0.1, 0.35, 0.5, 1 / 3)


@pytest.mark.parametrize("stored", ["as shown", "as summed by an earlier release"])
def test_a_limit_takes_the_row_that_shows_it(any_api: Api, stored: str) -> None:
    """Risks around each edge: what is shown as the limit or above is there, in pages, files and counts, and nothing else."""

    def near(number: int) -> ItemOutcome:
        edge, step = EDGES[number // 9], number % 9 - 4
        risk = float(np.float32(edge)) + step * 2**-26
        return replace(scored(number, [0.1, 0.2, 0.3, 0.4]), risk=as_shown(risk) if stored == "as shown" else risk)

    job = any_api.run(9 * len(EDGES), near)
    rows = any_api.client.get(f"/v1/jobs/{job}/results?limit=1000").json()["data"]
    assert {0.7, 0.1, 0.35, 0.5} <= {row["risk"] for row in rows}
    for limit in sorted({row["risk"] for row in rows} | {0.7, 0.70000001}):
        for name, wanted in (("min_risk", operator.ge), ("max_risk", operator.le)):
            expected_items = {row["item"] for row in rows if wanted(row["risk"], limit)}
            query = {name: str(limit), "sort": "risk", "limit": "7"}
            assert {row["item"] for page in pages(any_api, job, **query) for row in page} == expected_items, (name, limit)
            file = any_api.client.get(f"/v1/jobs/{job}/results.jsonl", params={name: str(limit)}).text
            assert {json.loads(line)["item"] for line in file.splitlines()} == expected_items
            counted = any_api.client.get(f"/v1/jobs/{job}/results", params={name: str(limit), "count": "true"}).json()
            assert counted["count"] == len(expected_items)


def test_unknown_parameters_and_values_are_refused(api: Api, job: uuid.UUID) -> None:
    for path in ("results", "results.csv", "results.parquet"):
        answer = problem(api.client.get(f"/v1/jobs/{job}/{path}?min_rsk=0.9"), 422, "invalid_parameters")
        assert answer["errors"][0]["field"] == "query.min_rsk"
        assert answer["detail"].endswith("; did you mean min_risk?")
        answer = problem(api.client.get(f"/v1/jobs/{job}/{path}?label=Mel"), 422, "invalid_parameters")
        assert answer["detail"] == "query.label: expected one of akiec, bcc, mel, nv; did you mean mel?"
    answer = problem(api.client.get(f"/v1/jobs/{job}/errors?code=trunkated"), 422, "invalid_parameters")
    assert answer["detail"].endswith("; did you mean truncated?")


NOBODY = uuid.UUID(int=7)  # the same in all processes of a run: it is part of the tests' names


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/jobs"),
        ("GET", f"/v1/jobs/{NOBODY}"),
        ("GET", f"/v1/jobs/{NOBODY}/events"),
        ("GET", f"/v1/jobs/{NOBODY}/items/0/thumbnail"),
        ("POST", f"/v1/jobs/{NOBODY}/cancel"),
        ("DELETE", f"/v1/jobs/{NOBODY}"),
        ("POST", "/v1/jobs"),
        ("PUT", "/v1/jobs/a.zip"),
        ("POST", "/v1/classify"),
        ("GET", "/v1/models"),
        ("GET", "/docs"),
    ],
)
def test_every_route_refuses_what_it_does_not_know(api: Api, method: str, path: str) -> None:
    answer = problem(api.client.request(method, f"{path}?modle=x"), 422, "invalid_parameters")
    assert answer["errors"][0]["field"] == "query.modle"
    knows_model = method in ("POST", "PUT") and path in ("/v1/jobs", "/v1/jobs/a.zip", "/v1/classify")
    assert ("did you mean model?" in answer["detail"]) == knows_model


def test_results_while_the_job_runs(api: Api) -> None:
    job = api.submit()
    assert api.client.get(f"/v1/jobs/{job}/results").json() == {"object": "list", "data": [], "next": None}
    assert api.client.get(f"/v1/jobs/{job}/results.csv").status_code == 200
    api.start(job, items=20, chunk_items=10)
    api.finish(job, 1, outcome)
    page = api.client.get(f"/v1/jobs/{job}/results").json()
    assert [row["item"] for row in page["data"]] == list(range(10, 20))
    assert api.client.get(f"/v1/jobs/{job}").json()["state"] == "running"
    api.finish(job, 0, outcome)
    assert len(api.client.get(f"/v1/jobs/{job}/results").json()["data"]) == 20


def test_export_of_a_deleted_job_breaks_off(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that ended early must not look complete."""
    monkeypatch.setattr("api.results.exports.export_results", functools.partial(export_results, batch=50))
    job = api.run(400, outcome)
    with api.client.stream("GET", f"/v1/jobs/{job}/results.jsonl") as response:
        assert response.status_code == 200
        with transaction(api.engine) as session:
            session.delete(session.get_one(Job, job))
        with pytest.raises(httpx2.RemoteProtocolError):
            response.read()
