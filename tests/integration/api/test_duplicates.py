"""Near duplicates: kept with the rows, shown in results and files once the job has ended. On both databases."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from typing import Any

import pyarrow.parquet as pq

from tests.integration.api.conftest import Api, failed, scored

HASHES = (7, -1, 7, 2**63 - 1, 5, None)  # -1 has all 64 bits, 2**63 - 1 all but one
EXPECTED = [0, 1, 0, 1, 0, None]


def outcome(number: int) -> Any:
    found = scored(number, (0.0, 0.1, 0.7, 0.2))
    return failed(number) if HASHES[number] is None else replace(found, difference_hash=HASHES[number])


def test_groups_are_in_rows_and_files(any_api: Api) -> None:
    job = any_api.submit()
    any_api.start(job, items=6, chunk_items=3)
    any_api.finish(job, 0, outcome)
    url = f"/v1/jobs/{job}/results"
    assert "duplicate_group" not in any_api.client.get(url).json()["data"][0]  # the job runs
    any_api.finish(job, 1, outcome)
    rows = any_api.client.get(url).json()["data"]
    assert [row["duplicate_group"] for row in rows] == EXPECTED
    assert any_api.client.get(f"/v1/jobs/{job}/items/3").json()["duplicate_group"] == 1
    lines = [json.loads(line) for line in any_api.client.get(f"{url}.jsonl").text.splitlines()]
    assert [line["duplicate_group"] for line in lines] == EXPECTED
    table = pq.read_table(io.BytesIO(any_api.client.get(f"{url}.parquet").content))
    assert table.column("duplicate_group").to_pylist() == EXPECTED
    cells = list(csv.DictReader(io.StringIO(any_api.client.get(f"{url}.csv").text)))
    assert [row["duplicate_group"] for row in cells] == ["0", "1", "0", "1", "0", ""]


def test_the_detail_names_what_looks_alike(api: Api) -> None:
    job = api.run(6, outcome)
    shown = api.client.get(f"/jobs/{job}/items/0").text
    assert "Looks like" in shown
    assert [f"items/{number}/image" in shown for number in range(6)] == [False, False, True, False, True, False]
    assert "Looks like" not in api.client.get(f"/jobs/{job}/items/5").text


def test_a_job_without_hashes_has_no_column(api: Api) -> None:
    job = api.run(2, lambda number: scored(number, (0.0, 0.1, 0.7, 0.2)))
    assert "duplicate_group" not in api.client.get(f"/v1/jobs/{job}/results").json()["data"][0]
    assert "duplicate_group" not in api.client.get(f"/v1/jobs/{job}/results.csv").text
