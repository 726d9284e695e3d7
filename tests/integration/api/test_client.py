"""`dermq.Client` and `dermq.AsyncClient` against the real API, with a worker and a model server behind it."""

from __future__ import annotations

import asyncio
import csv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from dermq import AsyncClient, Client, errors
from tests.integration.api.conftest import Api
from tests.support.stack import jpeg, write_zip


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    members = [(f"{number}.jpg", jpeg(number)) for number in range(3)]
    return write_zip(tmp_path_factory.mktemp("archive") / "l.zip", [*members, ("broken.jpg", members[0][1][:-40])])


def test_from_an_archive_to_tables(whole: Api, archive: Path, tmp_path: Path) -> None:
    with Client(whole.url) as client:
        job = client.screen(archive, progress=False, idempotency_key="one-key", tags=["ward 7", "a"])
        assert (job.state, job.info.succeeded, job.info.failed, job.info.errors) == ("succeeded", 3, 1, {"truncated": 1})
        rows = list(job.results())
        assert [row["name"] for row in rows] == ["0.jpg", "1.jpg", "2.jpg", "broken.jpg"]
        assert [row for page in job.results().pages(rows=3) for row in page] == rows
        frame = job.results(sort="-risk", status="succeeded").to_pandas()
        assert sorted(frame["name"]) == ["0.jpg", "1.jpg", "2.jpg"]
        assert list(frame["risk"]) == sorted(frame["risk"], reverse=True)
        assert job.results().to_arrow().num_rows == 4
        saved = job.results().save(tmp_path / "results.csv")
        with saved.open(newline="") as file:
            assert [row["error_code"] for row in csv.DictReader(file)] == ["", "", "", "truncated"]
        assert [failure["code"] for failure in job.errors()] == ["truncated"]
        assert client.submit(archive, idempotency_key="one-key", tags=["a", "ward 7"]).id == job.id
        assert whole.client.get("/v1/jobs", params={"tag": "ward 7"}).json()["data"][0]["tags"] == ["a", "ward 7"]
        assert job.id in [each.id for each in client.jobs(state="succeeded")]
        assert "tiny" in [model["name"] for model in client.models()]


def test_several_files_with_asyncio(whole: Api, archive: Path, tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / f"{number}.jpg").write_bytes(jpeg(number))

    async def main() -> Any:
        async with AsyncClient(whole.url) as client:
            sources = [[tmp_path / "0.jpg", tmp_path / "1.jpg"], archive]
            jobs = await asyncio.gather(*(client.screen(source) for source in sources))
            frames = [await job.results().to_pandas() for job in jobs]
            return [(job.state, len(frame)) for job, frame in zip(jobs, frames, strict=True)]

    with ThreadPoolExecutor(1) as pool:  # a test of a page, earlier in this process, leaves its loop in the main thread
        assert pool.submit(asyncio.run, main()).result() == [("succeeded", 2), ("succeeded", 4)]


def test_problems_of_the_server(whole: Api, archive: Path) -> None:
    with Client(whole.url) as client:
        with pytest.raises(errors.NotFoundError) as caught:
            client.job("019a9f3e-7c11-7d2b-9a44-0c5b8f6e2d10")
        assert caught.value.request_id
        with pytest.raises(errors.ProblemError) as caught_model:
            client.submit(archive, model="nobody's")
        assert (caught_model.value.code, type(caught_model.value)) == ("unknown_model", errors.NotFoundError)
        job = client.submit(archive, idempotency_key="another-key")
        with pytest.raises(errors.ConflictError):
            client.submit(b"other bytes", idempotency_key="another-key")
        assert job.wait().results(label="nv").pages
        with pytest.raises(errors.ForbiddenError):
            client.submit("s3://nobody/allowed")
