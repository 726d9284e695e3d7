"""A table of images all the way: from the command line's option to each row's picture and its other cells."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from core.settings import ApiSettings
from core.storage.base import ObjectStorage
from core.storage.factory import open_storage
from tests.integration.api.conftest import Api, problem, running_api, soon
from tests.support.databases import own_database
from tests.support.s3 import make_bucket, put_object, running_s3
from tests.support.servers import free_port, running_broker
from tests.support.stack import jpeg, worker_stack

COUNT = 20
NAMES = [f"P_{number:02}" for number in range(COUNT)]
BEFUND = ['-1.5; "klein"', "=SUM(A1)", "größer", "", "-0.25"]


def picture(number: int) -> bytes:
    """The width tells which one it is."""
    return jpeg(40 + 8 * number, size=(40 + number, 30))


def table(*, suffix: str = "") -> bytes:
    """As Excel writes it in Western Europe; two columns hold image names, the rows run backwards, one image is missing."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=";", lineterminator="\r\n")
    writer.writerow(["patient", "image", "photo", "befund", "Befund"])
    for number in reversed(range(COUNT)):
        other = NAMES[(number + 1) % COUNT]
        writer.writerow([f"Pat. {number}", f"{other}{suffix}", f"{NAMES[number]}{suffix}", BEFUND[number % 5], number])
    writer.writerow(["Pat. x", "nothing", "nothing", "fehlt", 99])
    return text.getvalue().encode("cp1252")


def metadata(number: int, column: str) -> dict[str, str]:
    other = {"photo": "image", "image": "photo"}[column]
    neighbour = NAMES[(number + 1) % COUNT] if other == "image" else NAMES[(number - 1) % COUNT]
    row = number if other == "image" else (number - 1) % COUNT
    return {"patient": f"Pat. {row}", other: neighbour, "befund": BEFUND[row % 5], "Befund_2": str(row)}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def whole(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, serving_address: str
) -> Iterator[tuple[Api, Path]]:
    """API, worker and serving over each kind of database, with a folder and a bucket that both read; shared by three tests."""
    place = tmp_path_factory.mktemp("whole")
    (place / "broker").mkdir()
    folder = place / "clinic"
    with ExitStack() as at_the_end:
        url = f"sqlite:///{place / 'ledger.db'}"
        if request.param == "postgresql":
            url = at_the_end.enter_context(own_database(request.getfixturevalue("postgres_server"), "tables"))
        s3 = at_the_end.enter_context(running_s3())
        broker_url = at_the_end.enter_context(running_broker("valkey", place / "broker"))
        stack = at_the_end.enter_context(
            worker_stack(place, database_url=url, broker_url=broker_url, serving_address=serving_address)
        )
        make_bucket(s3, "clinic")
        put_object(s3, "clinic", "2026/liste.csv", table())
        for number, name in enumerate(NAMES):
            path = folder / f"part_{1 + number % 2}" / f"{name}.JPG"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(picture(number))
            put_object(s3, "clinic", f"2026/part_{1 + number % 2}/{name}.JPG", picture(number))
        (folder / "liste.csv").write_bytes(table())
        stack.env |= {
            "DERMQ_API_ALLOW_S3_SOURCES": "s3://clinic/2026",
            "DERMQ_STORAGE_S3_ENDPOINT": s3.s3_endpoint,
            "DERMQ_STORAGE_S3_ACCESS_KEY_ID": "testing",
            "DERMQ_STORAGE_S3_SECRET_ACCESS_KEY": "testing",
            "DERMQ_SERVING_DEFAULT_MODEL": "tiny",
        }
        settings = stack.settings
        api = ApiSettings(
            port=free_port(), source_roots=settings.api.source_roots, allow_s3_sources=settings.api.allow_s3_sources
        )
        running = at_the_end.enter_context(running_api(replace(settings, api=api)))
        stack.start_worker()
        stack.start_beat()
        yield running, folder


def finished(api: Api, job: dict[str, Any]) -> dict[str, Any]:
    link = f"/v1/jobs/{job['id']}"
    soon(lambda: api.client.get(link).json()["state"] in ("succeeded", "failed"), "the job's end", 60)
    return dict(api.client.get(link).json())


def check(api: Api, job: dict[str, Any], column: str) -> None:
    """Each row has the picture that its cell names, and the cells beside it."""
    done = finished(api, job)
    assert (done["state"], done["counts"]["succeeded"], done["counts"]["failed"]) == ("succeeded", COUNT, 1)
    link = f"/v1/jobs/{job['id']}"
    rows = api.client.get(f"{link}/results", params={"limit": 1000}).json()["data"]
    shown = list(reversed(NAMES)) if column == "photo" else [NAMES[(number + 1) % COUNT] for number in reversed(range(COUNT))]
    assert [row["name"] for row in rows] == [*shown, "nothing"]
    for row in rows[:-1]:
        number = NAMES.index(row["name"])
        assert (row["status"], row["width"]) == ("succeeded", 40 + number)
        assert row["metadata"] == metadata(number, column)
        assert api.client.get(f"{link}/items/{row['item']}/original").content == picture(number)
    assert rows[-1]["error_code"] == "not_found"
    assert rows[-1]["metadata"]["befund"] == "fehlt"
    assert api.client.get(f"{link}/items/3").json() == rows[3]
    problem(api.client.get(f"{link}/items/999"), 404, "not_found")
    check_files(api, link, rows)


def check_files(api: Api, link: str, rows: list[dict[str, Any]]) -> None:
    columns = list(rows[0]["metadata"])
    lines = api.client.get(f"{link}/results.jsonl").text.split("\n")
    assert [json.loads(line) for line in lines[:-1]] == rows
    found = pq.read_table(io.BytesIO(api.client.get(f"{link}/results.parquet").content))
    assert [name for name in found.column_names if name.startswith("meta_")] == [f"meta_{name}" for name in columns]
    assert "metadata" not in found.column_names
    cells = [[row["metadata"].get(name) for row in rows] for name in columns]
    assert [found[f"meta_{name}"].to_pylist() for name in columns] == cells
    text = api.client.get(f"{link}/results.csv").text
    read = list(csv.DictReader(io.StringIO(text, newline="")))
    safe = {"=SUM(A1)": "'=SUM(A1)", '-1.5; "klein"': '\'-1.5; "klein"'}  # no formula; a number stays a number
    assert [[row[f"meta_{name}"] for row in read] for name in columns] == [
        [safe.get(cell or "", cell) for cell in column] for column in cells
    ]


def submitted(api: Api, *arguments: str) -> dict[str, Any]:
    """What the command line's `submit` makes."""
    command = [sys.executable, "-m", "cli", "submit", *arguments, "--server", api.url, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def test_the_option_of_the_command_line_reaches_the_rows(whole: tuple[Api, Path]) -> None:
    api, folder = whole
    check(api, submitted(api, "s3://clinic/2026/liste.csv", "--path-column", "Photo"), "photo")
    check(api, submitted(api, "s3://clinic/2026/liste.csv"), "image")
    body = {"source": str(folder / "liste.csv")}
    check(api, api.client.post("/v1/jobs", json=body | {"path_column": "photo"}).json(), "photo")
    check(api, api.client.post("/v1/jobs", params={"path_column": "PHOTO"}, json=body).json(), "photo")


def test_a_missing_column_and_another_source_fail_the_job(whole: tuple[Api, Path]) -> None:
    api, folder = whole
    body = {"source": str(folder / "liste.csv"), "path_column": "picture"}
    done = finished(api, api.client.post("/v1/jobs", json=body).json())
    assert done["error"]["code"] == "unreadable_archive"
    assert done["error"]["message"] == (
        "the table has no column 'picture'; its columns are 'patient', 'image', 'photo', 'befund', 'Befund'"
    )
    done = finished(api, api.client.post("/v1/jobs", json=body | {"source": str(folder)}).json())
    assert "expected a table with a column 'picture', got a folder" in done["error"]["message"]


def test_a_retry_and_a_second_job_keep_the_cells(whole: tuple[Api, Path], request: pytest.FixtureRequest) -> None:
    api, folder = whole
    late = folder / "part_1" / "nothing.jpg"
    request.addfinalizer(late.unlink)  # the other tests of the folder miss it
    job = api.client.post("/v1/jobs", json={"source": str(folder / "liste.csv"), "path_column": "photo"}).json()
    row = folder / "part_1" / f"{NAMES[0]}.JPG"
    finished(api, job)
    late.write_bytes(picture(26))
    kept = row.read_bytes()
    row.write_bytes(b"not a picture")
    second = finished(api, api.client.post("/v1/jobs", json={"source": f"job:{job['id']}"}).json())
    assert second["counts"]["failed"] == 1
    assert second["errors"] == {"not_an_image": 1}
    link = f"/v1/jobs/{second['id']}"
    rows = api.client.get(f"{link}/results", params={"limit": 1000}).json()["data"]
    assert rows[COUNT]["metadata"]["patient"] == "Pat. x"
    assert rows[COUNT]["width"] == 66
    row.write_bytes(kept)
    assert api.client.post(f"{link}/retry", json={}).status_code == 200
    finished(api, second)
    again = api.client.get(f"{link}/results", params={"limit": 1000}).json()["data"]
    assert [each["metadata"] for each in again] == [each["metadata"] for each in rows]
    assert (again[COUNT - 1]["width"], again[COUNT - 1]["metadata"]) == (40, metadata(0, "photo"))


def stored_columns(api: Api, storage: ObjectStorage, job: dict[str, Any]) -> Any:
    with api.engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT source FROM jobs").fetchall()
    sources = [json.loads(row[0]) if isinstance(row[0], str) else row[0] for row in rows]
    return next(source.get("path_column") for source in sources if source.get("filename", "") == job["name"])


def test_every_form_of_a_submission_takes_the_column(any_api: Api, tmp_path: Path) -> None:
    """As the raw body's query, as a field of a form, in a PUT, and by the command line, which sends the file."""
    api, storage = any_api, open_storage(any_api.settings.storage_url, any_api.settings.storage)
    data, column = b"photo,dx\na.jpg,nv\n", {"path_column": "photo"}
    raw = api.client.post("/v1/jobs", params=column | {"name": "raw.csv"}, content=data).json()
    put = api.client.put("/v1/jobs/put.csv", params=column, content=data).json()
    form = api.client.post("/v1/jobs", data=column, files={"archive": ("form.csv", data)}).json()
    (tmp_path / "cli.csv").write_bytes(data)
    sent = submitted(api, str(tmp_path / "cli.csv"), "--path-column", "photo")
    without = api.client.put("/v1/jobs/without.csv", content=data).json()
    assert [stored_columns(api, storage, job) for job in (raw, put, form, sent, without)] == ["photo"] * 4 + [None]
    problem(api.client.post("/v1/jobs", params={"path_column": "a\nb"}, content=data), 422, "invalid_parameters")


def test_the_column_is_part_of_what_an_idempotency_key_means(any_api: Api) -> None:
    key = {"Idempotency-Key": "k"}
    first = any_api.client.put("/v1/jobs/a.csv", params={"path_column": "a"}, headers=key, content=b"a,b\n")
    again = any_api.client.put("/v1/jobs/a.csv", params={"path_column": "a"}, headers=key, content=b"a,b\n")
    assert first.json()["id"] == again.json()["id"]
    problem(any_api.client.put("/v1/jobs/a.csv", params={"path_column": "b"}, headers=key, content=b"a,b\n"), 409, "conflict")
    problem(any_api.client.put("/v1/jobs/a.csv", headers=key, content=b"a,b\n"), 409, "conflict")


def test_openapi_describes_the_column(any_api: Api) -> None:
    document = any_api.client.get("/openapi.json").json()
    post = document["paths"]["/v1/jobs"]["post"]
    [query] = [each for each in post["parameters"] if each["name"] == "path_column"]
    assert "names the images" in query["description"]
    for kind in ("multipart/form-data", "application/json"):
        assert "names the images" in post["requestBody"]["content"][kind]["schema"]["properties"]["path_column"]["description"]
    assert "/v1/jobs/{job_id}/items/{item_no}" in document["paths"]
