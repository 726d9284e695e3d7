"""The whole way: HTTP in, a real worker with real serving, HTTP out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.api.conftest import Api, problem, soon
from tests.support.stack import jpeg, png, write_zip


def test_archive_in_rows_out(whole: Api, tmp_path: Path) -> None:
    members = [(f"{number:03}.png", png(number)) for number in range(60)] + [("text.jpg", b"hello")]
    archive = write_zip(tmp_path / "lesions.zip", members)
    job = whole.client.put("/v1/jobs/lesions.zip", content=archive.read_bytes()).json()
    soon(lambda: whole.client.get(job["links"]["self"]).json()["state"] == "succeeded", "the job's end", 60)
    done = whole.client.get(job["links"]["self"]).json()
    assert done["counts"] == {"total": 61, "succeeded": 60, "failed": 1, "skipped": 0, "remaining": 0}
    rows = whole.client.get(job["links"]["results"], params={"limit": 1000}).json()["data"]
    assert [row["name"] for row in rows] == [name for name, _ in members]
    assert sum(rows[0][f"p_{name}"] for name in done["classes"]) == pytest.approx(1, abs=1e-5)
    assert [row["item"] for row in whole.client.get(job["links"]["errors"]).json()["data"]] == [60]
    assert whole.client.get(f"{job['links']['self']}/items/7/original").content == members[7][1]
    assert whole.client.get(f"{job['links']['self']}/items/7/thumbnail").headers["content-type"] == "image/jpeg"
    assert whole.client.delete(job["links"]["self"]).status_code == 204
    assert not whole.stored()


def test_one_image(whole: Api) -> None:
    answer = whole.client.post("/v1/classify", params={"name": "lesion.jpg"}, content=jpeg(120)).json()
    assert (answer["name"], answer["status"], answer["width"], answer["height"]) == ("lesion.jpg", "succeeded", 40, 30)
    problem(whole.client.post("/v1/classify", content=jpeg(120)[:200]), 422, "truncated")
    problem(whole.client.post("/v1/classify", params={"model": "absent"}, content=jpeg(1)), 404, "unknown_model")
