"""POST /v1/classify in the API itself: the same answers and the same ledger as by a worker, once and whole. No worker runs."""

from __future__ import annotations

import io
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import pillow_heif
import pytest
from PIL import Image
from sqlalchemy import func, inspect, select

from core.archives.base import Member
from core.db.engine import reading
from core.db.jobs import read_tallies
from core.db.models import Chunk, Job, Result, Upload
from core.settings import DatabaseSettings, ServingSettings
from core.storage.layout import index_key
from tests.integration.api.conftest import Api, make_settings, running_api, warm_up
from tests.support.databases import own_database
from tests.support.pictures import photograph, png_chunk, saved
from tests.support.servers import ROOT
from tests.support.stack import jpeg, png
from worker.classify import classify_chunk
from worker.context import WorkerContext
from worker.prepare import prepare_job

DIRECT = 'dermq_classifications_total{way="direct"}'
OWN = {"id", "job_id", "upload_id", "idempotency_key", "request_hash", "source", "archive", "key", "sha256"}  # of each job
MEASURED = {"waited_s", "starved_s", "turn", "served_s"}  # seconds
VARIES = MEASURED | {"revision"}  # no broker runs: the job of the queue's way has waited for it


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, serving_address: str) -> Iterator[Api]:
    """A server with a real model server behind it, whose decoding processes run."""
    folder = tmp_path_factory.mktemp("direct")
    serving = ServingSettings(address=serving_address, default_model="tiny")
    with ExitStack() as exits:
        url = ""
        if request.param == "postgresql":
            url = exits.enter_context(own_database(request.getfixturevalue("postgres_server"), "direct"))
        api = exits.enter_context(running_api(make_settings(folder, database=DatabaseSettings(url=url), serving=serving)))
        warm_up(api)
        yield api


def post(api: Api, data: bytes, *, prefer: str = "wait=1", **headers: str) -> httpx2.Response:
    return api.client.post("/v1/classify", content=data, params={"name": "a.jpg"}, headers={"Prefer": prefer} | headers)


def count(api: Api, series: str) -> float:
    lines = api.client.get("/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(series))


def work(api: Api, job_id: uuid.UUID) -> None:
    """What a worker does with a job of one image."""
    context = WorkerContext.open(api.settings, lambda _: None)
    try:
        prepare_job(context, job_id)
        classify_chunk(context, job_id, 0)
    finally:
        context.close()


def by_queue(api: Api, data: bytes) -> httpx2.Response:
    key = uuid.uuid4().hex
    taken = post(api, data, prefer="respond-async", **{"Idempotency-Key": key})
    assert taken.status_code == 202, taken.text
    work(api, uuid.UUID(taken.json()["id"]))
    return post(api, data, **{"Idempotency-Key": key})


def directly(api: Api, data: bytes) -> httpx2.Response:
    before = count(api, DIRECT)
    response = post(api, data, prefer="wait=20", **{"Idempotency-Key": uuid.uuid4().hex})
    assert count(api, DIRECT) == before + 1
    return response


def newest_job(api: Api) -> uuid.UUID:
    with reading(api.engine) as session:
        return session.scalars(select(Job.id).order_by(Job.id.desc()).limit(1)).one()


def rows_of(api: Api, job_id: uuid.UUID) -> dict[str, Any]:
    """All that the ledger and the storage have of a job, but for what is each job's own; instants as whether there is one."""
    with reading(api.engine) as session:
        job = session.get_one(Job, job_id)
        tables = [job, session.get_one(Upload, job.upload_id), *session.scalars(select(Chunk).where(Chunk.job_id == job_id))]
        tables += session.scalars(select(Result).where(Result.job_id == job_id)).all()
        found = {f"{type(row).__name__}.{name}": value for row in tables for name, value in values_of(row).items()}
        found["tallies"] = read_tallies(session, job_id)
        found["archive"] = (job.archive or {}) | {"location": job.archive["location"] == job.source["key"]}  # type: ignore[index]
        assert job.turn < -1e11  # an interactive job's
        assert job.created_at <= job.preparing_at <= job.running_at <= job.progress_at == job.succeeded_at  # type: ignore[operator]
        assert (job.expires_at - job.succeeded_at).total_seconds() == job.retention_s  # type: ignore[operator]
    index = api.storage.open(index_key(job_id))
    found["index"] = Member.from_line(index.read_at(0, index.size))
    index.close()
    return found


def values_of(row: Any) -> dict[str, Any]:
    columns = [each.key for each in inspect(type(row)).column_attrs]
    shown = {name: getattr(row, name) for name in columns if name not in OWN | VARIES}
    return {name: value is not None if name.endswith("_at") else value for name, value in shown.items()}


def with_bad_checksum(data: bytes) -> bytes:
    at = data.index(b"IDAT") + 8
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def announcing(width: int, height: int) -> bytes:
    header = width.to_bytes(4) + height.to_bytes(4) + bytes([8, 2, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", b"") + png_chunk(b"IEND", b"")


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(photograph(90, 60), exif=exif)


def heif() -> bytes:
    stream = io.BytesIO()
    pillow_heif.from_pillow(photograph(64, 48)).save(stream, quality=80)
    return stream.getvalue()


PICTURES = {
    "jpeg": lambda: saved(photograph(600, 450)),
    "png": lambda: saved(photograph(50, 40), "PNG"),
    "grey": lambda: png(120),
    "turned": turned,
    "heif": heif,
    "two pages": lambda: saved(photograph(40, 30), "TIFF", save_all=True, append_images=[photograph(40, 30, 1)]),
    "truncated": lambda: saved(photograph(600, 450))[:9000],
    "damaged": lambda: with_bad_checksum(saved(photograph(50, 40), "PNG")),
    "too many pixels": lambda: announcing(20_000, 20_000),
    "only a head": lambda: b"\xff\xd8\xff" + b"no jpeg" * 9,
}


@pytest.mark.parametrize("name", PICTURES)
def test_both_ways_give_the_same_answer_and_the_same_ledger(served: Api, name: str) -> None:
    data = PICTURES[name]()
    slow = by_queue(served, data)
    slow_job = newest_job(served)
    fast = directly(served, data)
    fast_job = newest_job(served)
    assert slow_job != fast_job
    assert fast.status_code == slow.status_code
    own = {"job", "links", "request_id", "instance"}
    assert {key: value for key, value in fast.json().items() if key not in own} == {
        key: value for key, value in slow.json().items() if key not in own
    }
    assert rows_of(served, fast_job) == rows_of(served, slow_job)


def test_an_image_that_the_model_refuses_is_left_to_the_queue(served: Api) -> None:
    before = count(served, DIRECT)
    taken = post(served, png(77))
    assert (taken.status_code, count(served, DIRECT)) == (202, before)
    work(served, newest_job(served))
    job = served.client.get(taken.headers["location"]).json()
    assert (job["state"], job["errors"]) == ("succeeded", {"rejected_by_model": 1})


def test_pages_show_and_a_worker_runs_again_what_was_classified_directly(served: Api) -> None:
    data = saved(photograph(600, 450))[:9000]
    assert directly(served, data).json()["code"] == "truncated"
    job_id = newest_job(served)
    assert served.client.get(f"/v1/jobs/{job_id}/items/0/original").content == data
    assert served.client.post(f"/v1/jobs/{job_id}/retry").json()["state"] == "running"
    context = WorkerContext.open(served.settings, lambda _: None)
    classify_chunk(context, job_id, 1)
    context.close()
    job = served.client.get(f"/v1/jobs/{job_id}").json()
    assert (job["state"], job["errors"], job["counts"]["failed"]) == ("succeeded", {"truncated": 1}, 1)
    assert served.client.delete(f"/v1/jobs/{job_id}").status_code == 204
    assert not [key for key in served.stored() if str(job_id) in key]


def test_requests_with_one_key_at_the_same_time_make_one_job(served: Api) -> None:
    data, headers = jpeg(41), {"Idempotency-Key": uuid.uuid4().hex}
    with reading(served.engine) as session:
        before = session.scalar(select(func.count()).select_from(Job)) or 0
    stored = len(served.stored())
    with ThreadPoolExecutor(8) as threads:
        answers = [
            each.result().json() for each in [threads.submit(post, served, data, prefer="wait=9", **headers) for _ in range(8)]
        ]
    assert len({answer["job"] for answer in answers}) == 1
    assert all(answer == answers[0] for answer in answers)
    with reading(served.engine) as session:
        assert session.scalar(select(func.count()).select_from(Job)) == before + 1
    assert len(served.stored()) == stored + 2  # the upload and the index
    other = post(served, jpeg(42), **headers)
    assert (other.status_code, other.json()["code"]) == (409, "conflict")


def test_many_at_once_each_get_their_own_answer(served: Api) -> None:
    shades = list(range(60, 76))
    alone = {shade: directly(served, png(shade)).json() for shade in shades}
    with ThreadPoolExecutor(16) as threads:
        together = dict(
            zip(shades, threads.map(lambda shade: post(served, png(shade), prefer="wait=20").json(), shades), strict=True)
        )
    for shade in shades:
        classes = [key for key in alone[shade] if key.startswith("p_")]
        assert [together[shade][key] for key in classes] == pytest.approx([alone[shade][key] for key in classes], abs=1e-6)


@pytest.mark.parametrize("statements", [1, 2, 4])
def test_a_process_that_is_killed_in_the_transaction_leaves_nothing(served: Api, statements: int) -> None:
    job_id = uuid.uuid4()
    done = kill_while_inserting(served, job_id, after=statements)
    assert done.returncode == -9, done.stderr
    with reading(served.engine) as session:
        assert session.get(Job, job_id) is None
        assert session.scalar(select(func.count()).select_from(Result).where(Result.job_id == job_id)) == 0


def test_a_process_that_is_killed_after_the_transaction_leaves_the_whole_job(served: Api) -> None:
    job_id = uuid.uuid4()
    done = kill_while_inserting(served, job_id, after=0)
    assert done.returncode == -9, done.stderr
    with reading(served.engine) as session:
        assert session.get_one(Job, job_id).state == "succeeded"
        assert session.scalar(select(func.count()).select_from(Result).where(Result.job_id == job_id)) == 1
        assert read_tallies(session, job_id).labels == {"nv": 1}


SCRIPT = """
import os, signal, sys, uuid
from datetime import UTC, datetime
from sqlalchemy import event
from core.db.chunks import ChunkTiming
from core.db.ended import EndedJob, insert_ended_job
from core.db.engine import open_engine, transaction
from core.db.jobs import NewJob
from core.db.models import LOCAL_TENANT_ID
from core.db.outcomes import ItemOutcome
from core.db.preparing import ChunkPlan, PreparedJob
from core.settings import DatabaseSettings

url, job_id, after = sys.argv[1], uuid.UUID(sys.argv[2]), int(sys.argv[3])
engine = open_engine(url, DatabaseSettings())
done = []

@event.listens_for(engine, "after_cursor_execute")
def count(connection, cursor, statement, parameters, context, many):
    done.append(statement.startswith("INSERT"))
    if after and sum(done) == after:
        os.kill(os.getpid(), signal.SIGKILL)

now = datetime.now(UTC)
new = NewJob(LOCAL_TENANT_ID, "a.jpg", {"kind": "path", "path": "/a.jpg"}, "tiny", id=job_id)
outcome = ItemOutcome(0, "a.jpg", label="nv", score=0.5)
prepared = PreparedJob({}, 2, {"classes": ["nv", "mel"]}, 0, [ChunkPlan(0, 1, 0, 9)])
with transaction(engine) as session:
    insert_ended_job(session, EndedJob(new, prepared, outcome, now, ChunkTiming(0.0, 0.0)), now)
os.kill(os.getpid(), signal.SIGKILL)
"""


def kill_while_inserting(api: Api, job_id: uuid.UUID, *, after: int) -> subprocess.CompletedProcess[str]:
    """Insert an ended job in a process that kills itself after so many INSERTs; 0: after the commit."""
    command = [sys.executable, "-c", SCRIPT, api.settings.database_url, str(job_id), str(after)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def test_a_model_server_that_does_not_answer_leaves_the_image_to_the_queue(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        serving = ServingSettings(address=f"127.0.0.1:{silent.getsockname()[1]}", default_model="tiny", timeout_s=1.0)
        with running_api(make_settings(tmp_path, serving=serving)) as api:
            before = count(api, DIRECT)
            for shade in (10, 20):  # the second one while Serving is known to be silent
                taken = post(api, jpeg(shade), prefer="wait=2")
                assert taken.status_code == 202, taken.text
            assert [job["state"] for job in api.client.get("/v1/jobs").json()["data"]] == ["queued", "queued"]
            assert sorted(key.partition("/")[0] for key in api.stored()) == ["uploads", "uploads"]  # no index is left
            assert count(api, DIRECT) == before
