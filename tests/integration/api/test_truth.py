"""Ground truth of a job: sent, filtered by, exported, judged. On both databases."""

from __future__ import annotations

import csv
import io
import json
import uuid
from dataclasses import replace
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.integration.api.conftest import Api, failed, problem, scored

MEL, NV = (0.0, 0.1, 0.7, 0.2), (0.0, 0.1, 0.1, 0.8)
TABLE = "image,dx\n000000,mel\n000001,mel\n000002,nv\n000003,nv\n000004,bcc\n999,nv\n000005,scc\n"


def outcome(number: int) -> Any:
    """Items 0, 2 and 5 are seen as `mel`, 1 and 3 as `nv`; item 4 failed."""
    return failed(number) if number == 4 else scored(number, MEL if number in (0, 2, 5) else NV)


def make_job(api: Api) -> uuid.UUID:
    return api.run(6, outcome)


def send(api: Api, job: uuid.UUID, table: str = TABLE, **query: Any) -> Any:
    headers = {"Content-Type": "text/csv", "Content-Disposition": 'attachment; filename="reading.csv"'}
    return api.client.put(f"/v1/jobs/{job}/truth", content=table.encode(), headers=headers, params=query)


def test_a_truth_is_kept_and_replaced(any_api: Api) -> None:
    job = make_job(any_api)
    problem(any_api.client.get(f"/v1/jobs/{job}/truth"), 404, "not_found")
    saved = send(any_api, job).json()
    assert (saved["revision"], saved["source"], saved["rows"], saved["images"]) == (1, "reading.csv, column 'dx'", 7, 5)
    assert saved["classes"] == {"mel": 2, "nv": 2, "bcc": 1}
    assert saved["unmatched"] == {"count": 1, "examples": ["999"]}
    assert saved["unknown_classes"] == {"scc": 1}
    assert any_api.client.get(f"/v1/jobs/{job}/truth").json() == saved
    again = send(any_api, job, "image,dx\n000001,nv\n").json()
    assert (again["revision"], again["classes"]) == (2, {"nv": 1})
    rows = any_api.client.get(f"/v1/jobs/{job}/results").json()["data"]
    assert [row["truth"] for row in rows] == [None, "nv", None, None, None, None]
    assert any_api.client.delete(f"/v1/jobs/{job}/truth").status_code == 204
    assert "truth" not in any_api.client.get(f"/v1/jobs/{job}/results").json()["data"][0]
    problem(any_api.client.delete(f"/v1/jobs/{job}/truth"), 404, "not_found")


def test_results_are_filtered_by_the_cell_of_the_matrix(any_api: Api) -> None:
    job = make_job(any_api)
    send(any_api, job)
    url = f"/v1/jobs/{job}/results"
    for query, items in (({"truth": "nv"}, [2, 3]), ({"truth": "nv", "label": "mel"}, [2]), ({"truth": "bcc"}, [4])):
        found = any_api.client.get(url, params={**query, "count": True}).json()
        assert ([row["item"] for row in found["data"]], found["count"]) == (items, len(items))
        assert [
            int(row["item"]) for row in csv.DictReader(io.StringIO(any_api.client.get(f"{url}.csv", params=query).text))
        ] == (items)
    by_risk = any_api.client.get(url, params={"truth": "mel", "sort": "-risk"}).json()["data"]
    assert [row["item"] for row in by_risk] == [0, 1]
    counted = any_api.client.get(f"/v1/jobs/{job}/histogram", params={"truth": "nv"}).json()
    assert (counted["items"], counted["flagged"]) == (2, 1)
    problem(any_api.client.get(url, params={"truth": "scc"}), 422, "invalid_parameters")


def test_files_have_the_truth_before_the_decisions(any_api: Api) -> None:
    job = make_job(any_api)
    send(any_api, job)
    body = {"verdict": "agree", "reviewer": "Ada", "revision": 0}
    any_api.client.put(f"/v1/jobs/{job}/items/0/decision", json=body)
    url, expected = f"/v1/jobs/{job}/results", ["mel", "mel", "nv", "nv", "bcc", None]
    lines = [json.loads(line) for line in any_api.client.get(f"{url}.jsonl").text.splitlines()]
    assert [line["truth"] for line in lines] == expected
    assert any_api.client.get(f"/v1/jobs/{job}/items/2").json() == lines[2]
    table = pq.read_table(io.BytesIO(any_api.client.get(f"{url}.parquet").content))
    assert table.column("truth").to_pylist() == expected
    cells = list(csv.DictReader(io.StringIO(any_api.client.get(f"{url}.csv").text)))
    assert [row["truth"] for row in cells] == ["mel", "mel", "nv", "nv", "bcc", ""]
    for names in (list(lines[0]), table.column_names, list(cells[0])):
        assert names.index("truth") == names.index("decision") - 1


def test_the_report_by_hand(any_api: Api) -> None:
    job = make_job(any_api)
    problem(any_api.client.get(f"/v1/jobs/{job}/report.json"), 404, "not_found")
    send(any_api, job)
    report = any_api.client.get(f"/v1/jobs/{job}/report.json").json()
    assert (report["images"], report["failed"], report["without_truth"], report["versions"]) == (4, 1, 1, [3])
    assert report["class_names"] == ["akiec", "bcc", "mel", "nv"]
    assert report["confusion"] == [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]]
    assert (report["headline"]["accuracy"], report["headline"]["balanced_accuracy"]) == (0.5, 0.5)
    assert report["headline"]["malignant_auc"] == 0.5  # of each class one image at risk 0.8, and one at 0.2
    assert report["classes"]["mel"]["recall"] == 0.5
    assert report["classes"]["akiec"]["recall"] is None
    point = report["operating_points"]["sensitive"]
    assert (point["threshold"], point["sensitivity"], point["specificity"]) == (0.5, 0.5, 0.5)
    assert [(row["sensitivity"], row["specificity"]) for row in report["roc"]] == [(0.5, 0.5), (1.0, 0.0)]
    low, high = report["interval_95"]["recall"]["mel"]
    assert low == pytest.approx(0.0, abs=0.095)  # Wilson of 1 in 2: 0.0945 to 0.9055; the bootstrap has 0 to 1
    assert high == pytest.approx(1.0, abs=0.095)
    assert report["truth"]["unknown_classes"] == {"scc": 1}
    assert report["disclaimer"]


def test_a_report_is_of_the_newest_truth(any_api: Api) -> None:
    job = make_job(any_api)
    send(any_api, job)
    assert any_api.client.get(f"/v1/jobs/{job}/report.json").json()["images"] == 4
    send(any_api, job, "image,dx\n000000,mel\n000001,nv\n")
    report = any_api.client.get(f"/v1/jobs/{job}/report.json").json()
    assert (report["images"], report["headline"]["accuracy"], report["truth"]["revision"]) == (2, 1.0, 2)
    send(any_api, job, "image,dx\n000004,mel\n")
    problem(any_api.client.get(f"/v1/jobs/{job}/report.json"), 409, "conflict")


def test_the_archive_knows_its_truth(any_api: Api) -> None:
    cells = [{"dx": "nevus", "sex": "male"}, {"dx": "mel", "sex": "female"}, {"dx": "", "sex": "male"}]
    job = any_api.submit()
    any_api.start(job, items=3, metadata_columns=("dx", "sex"))
    any_api.finish(job, 0, lambda number: replace(scored(number, NV), metadata=cells[number]))
    saved = any_api.client.put(f"/v1/jobs/{job}/truth", json={"source": "archive"}).json()
    assert (saved["source"], saved["classes"]) == ("the archive's table, column 'dx'", {"nv": 1, "mel": 1})
    assert saved["read_as"] == {"nevus": "nv"}
    refused = any_api.client.put(f"/v1/jobs/{job}/truth", json={"source": "archive"}, params={"column": "sex"})
    detail = problem(refused, 400, "invalid_request")["detail"]
    assert "classes that the model does not have: male (2), female (1)" in detail
    folders = any_api.run(2, lambda number: scored(number, NV, f"lesions/{('mel', 'nv')[number]}/{number}.jpg"))
    saved = any_api.client.put(f"/v1/jobs/{folders}/truth", json={"source": "archive"}).json()
    assert (saved["source"], saved["classes"]) == ("the folders of the archive", {"mel": 1, "nv": 1})


def test_a_truth_survives_a_retry_and_goes_with_its_job(any_api: Api) -> None:
    job = make_job(any_api)
    send(any_api, job)
    assert any_api.client.post(f"/v1/jobs/{job}/retry").status_code == 200
    problem(send(any_api, job), 409, "conflict")
    any_api.finish(job, 1, lambda number: scored(number, NV))
    assert any_api.client.get(f"/v1/jobs/{job}/items/4").json()["truth"] == "bcc"
    report = any_api.client.get(f"/v1/jobs/{job}/report.json").json()
    assert (report["images"], report["failed"]) == (5, 0)
    assert any_api.client.delete(f"/v1/jobs/{job}").status_code == 204
    problem(any_api.client.get(f"/v1/jobs/{job}/truth"), 404, "not_found")


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ("", 400, "the body is empty"),
        ("image,colour\n000000,red\n", 400, "expected a column dx, label"),
        ("dx\nmel\n", 400, "expected a column"),
        ("image,dx\n17,mel\n18,mel\n", 400, "2 names that match no picture (17, 18)"),
        ("image,dx\n000000,scc\n", 400, "classes that the model does not have: scc (1); it has akiec, bcc, mel, nv"),
        ("image,dx\n000000,mel\n000000,nv\n", 400, "1 pictures with different classes (000000: mel, nv)"),
    ],
    ids=["empty", "no-class", "no-name", "no-match", "unknown-class", "contradiction"],
)
def test_what_is_no_truth(api: Api, body: str, status: int, says: str) -> None:
    job = make_job(api)
    assert says in problem(send(api, job, body), status, "invalid_request")["detail"]
    problem(api.client.get(f"/v1/jobs/{job}/truth"), 404, "not_found")


def test_what_cannot_be_asked(api: Api) -> None:
    job = make_job(api)
    problem(api.client.put(f"/v1/jobs/{job}/truth", json={"source": "moon"}), 422, "invalid_parameters")
    problem(send(api, uuid.UUID(int=3)), 404, "not_found")
    problem(send(api, job, "x" * (32 * 1024 * 1024 + 1)), 413, "too_large")
    problem(api.client.get(f"/v1/jobs/{uuid.UUID(int=3)}/report.json"), 404, "not_found")
