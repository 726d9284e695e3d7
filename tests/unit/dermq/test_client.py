"""The two clients against a real HTTP server that misbehaves on demand: what is sent, what is repeated, what is raised."""

from __future__ import annotations

import asyncio
import io
import json
import socket
import time
import zipfile
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from dermq import AsyncClient, AsyncJob, Client, Job, JobFailedError, Retries, UnreachableError, calls, errors, parts
from tests.support.servers import free_port
from tests.unit.cli.laid_out import Answer, LaidOutServer
from tests.unit.dermq.conftest import JOB_ID, job_in

BUSY = Answer(
    {"code": "database_unavailable", "detail": "database away"}, 503, {"Retry-After": "0"}, "application/problem+json"
)
SUBMIT = ("POST", "/v1/jobs")
JOB = ("GET", f"/v1/jobs/{JOB_ID}")


@pytest.fixture
def client(server: LaidOutServer) -> Iterator[Client]:
    with Client(server.url, api_key="secret-key") as opened:
        yield opened


def run_async(server: LaidOutServer, use: Callable[[AsyncClient], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        async with AsyncClient(server.url, api_key="secret-key") as opened:
            return await use(opened)

    with ThreadPoolExecutor(1) as pool:  # a test of a page, earlier in this process, leaves its loop in the main thread
        return pool.submit(asyncio.run, main()).result()


def test_a_screening_is_submitted_followed_and_read(server: LaidOutServer, client: Client, tmp_path: Path) -> None:
    (tmp_path / "l.zip").write_bytes(b"archive")
    server.lay(*SUBMIT, Answer(job_in("queued"), 202))
    server.lay(*JOB, Answer(job_in("running")), Answer(job_in("succeeded")))
    path = f"/v1/jobs/{JOB_ID}/results"
    second = f"http://elsewhere.example/prefix{path}?cursor=abc&limit=1"
    server.lay("GET", path, Answer({"data": [{"item": 0}], "next": second}), Answer({"data": [{"item": 1}], "next": None}))
    job = client.screen(tmp_path / "l.zip", model="m", version=3, progress=False)
    assert (job.state, job.info.succeeded, job.info.seconds) == ("succeeded", 2, 12.0)
    assert list(job.results(sort="-risk", flagged=True)) == [{"item": 0}, {"item": 1}]
    submitted = server.seen[0]
    assert (submitted.query, submitted.body) == ({"name": "l.zip", "model": "m", "version": "3"}, b"archive")
    assert submitted.headers["Authorization"] == "Bearer secret-key"
    assert submitted.headers["Content-Length"] == "7"
    # The second page is asked of the same server, whatever the link's host is: a key goes nowhere else.
    asked = [seen.query for seen in server.seen if seen.path == path]
    assert asked == [{"sort": "-risk", "flagged": "true", "limit": "200"}, {"cursor": "abc", "limit": "1"}]


def test_the_same_with_asyncio(server: LaidOutServer, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"image")
    server.lay(*SUBMIT, BUSY, Answer(job_in("queued"), 202))
    server.lay(*JOB, Answer(job_in("running")), BUSY, Answer(job_in("succeeded")))
    server.lay("GET", f"/v1/jobs/{JOB_ID}/results", Answer({"data": [{"item": 0}], "next": None}))
    server.lay("GET", f"/v1/jobs/{JOB_ID}/errors", Answer({"data": [{"code": "empty"}], "next": None}))
    server.lay("GET", "/v1/jobs", Answer({"data": [job_in("queued")], "next": None}))
    server.lay("GET", "/v1/models", Answer({"data": [{"name": "m"}]}))
    server.lay("DELETE", f"/v1/jobs/{JOB_ID}", Answer(b"", 204))

    async def use(client: AsyncClient) -> Any:
        job = await client.screen(tmp_path)
        found = [row async for row in job.results()], [row async for row in job.errors()]
        listed = [each.id async for each in client.jobs(state="queued")]
        await (await client.job(JOB_ID)).delete()
        return job.state, found, listed, await client.models()

    expected = ("succeeded", ([{"item": 0}], [{"code": "empty"}]), [JOB_ID], [{"name": "m"}])
    assert run_async(server, use) == expected
    submits = [seen for seen in server.seen if seen.method == "POST"]
    assert len(submits) == 2
    assert len({(seen.headers["Idempotency-Key"], seen.body) for seen in submits}) == 1
    with zipfile.ZipFile(io.BytesIO(submits[0].body)) as archive:
        assert archive.read("a.jpg") == b"image"


def test_a_lost_answer_is_asked_for_again_with_the_same_key_and_body(
    server: LaidOutServer, client: Client, tmp_path: Path
) -> None:
    for name in ("b.jpg", "a.jpg"):
        (tmp_path / name).write_bytes(name.encode())
    server.lay(*SUBMIT, Answer(drop=True), BUSY, Answer(job_in("queued"), 202))
    client.submit([tmp_path / "b.jpg", tmp_path / "a.jpg"])
    assert len(server.seen) == 3
    assert len({(seen.headers["Idempotency-Key"], seen.body) for seen in server.seen}) == 1
    with zipfile.ZipFile(io.BytesIO(server.seen[0].body)) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {"b.jpg": b"b.jpg", "a.jpg": b"a.jpg"}
    assert server.seen[0].query == {"name": "2 files.zip"}


@pytest.mark.parametrize(
    "source",
    ["s3://clinic/2026/", "gs://clinic/a.zip", "az://clinic/a/", "https://open.example/a.zip", "HTTPS://a/b", "job:" + JOB_ID],
)
def test_an_address_is_sent_as_json(server: LaidOutServer, client: Client, source: str) -> None:
    server.lay(*SUBMIT, Answer(job_in("queued"), 202))
    client.submit(source, label="canary", idempotency_key="mine")
    assert json.loads(server.seen[0].body) == {"source": source, "label": "canary"}
    assert server.seen[0].headers["Idempotency-Key"] == "mine"


def test_a_proxy_that_lets_no_part_through_gets_one_request(
    server: LaidOutServer, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some know GET and POST only; this server answers 501 to PATCH and HEAD."""
    monkeypatch.setattr(parts, "SMALLEST", 10)
    server.lay("POST", "/v1/uploads", Answer(b"", 201, {"Location": f"{server.url}/v1/uploads/{JOB_ID}"}))
    server.lay(*SUBMIT, Answer(job_in("queued"), 202))
    client.submit(b"more than ten bytes", name="one.zip")
    assert [(seen.path, seen.body) for seen in server.seen] == [
        ("/v1/uploads", b""),
        ("/v1/jobs", b"more than ten bytes"),
    ]


@pytest.mark.parametrize(
    ("name", "sent"), [("a\udce4\udcffb.zip", "a\ufffd\ufffdb.zip"), ("a\ud800b.zip", "a?b.zip"), ("ä", "ä")]
)
def test_a_files_name_is_made_sendable(name: str, sent: str) -> None:
    assert calls.sendable_name(name) == sent


def test_bytes_are_sent_as_they_are(server: LaidOutServer, client: Client) -> None:
    server.lay(*SUBMIT, Answer(job_in("queued"), 202))
    client.submit(b"\xff\xd8", name="one.jpg")
    assert (server.seen[0].body, server.seen[0].query) == (b"\xff\xd8", {"name": "one.jpg"})


def test_a_job_that_failed_is_an_error_that_has_the_job(server: LaidOutServer, client: Client) -> None:
    server.lay(*JOB, Answer(job_in("failed", error={"code": "archive_bomb", "message": "too much"})))
    with pytest.raises(JobFailedError, match=r"failed: too much \(archive_bomb\)") as caught:
        client.job(JOB_ID).wait()
    assert caught.value.job.id == JOB_ID


def test_waiting_ends_in_time(server: LaidOutServer, client: Client) -> None:
    server.lay(*JOB, Answer(job_in("running")))
    with pytest.raises(errors.WaitTimeoutError, match="it goes on"):
        client.job(JOB_ID).wait(timeout_s=0.15)

    async def use(client: AsyncClient) -> Any:
        return await (await client.job(JOB_ID)).wait(timeout_s=0.15)

    with pytest.raises(errors.WaitTimeoutError, match="it goes on"):
        run_async(server, use)


def test_waiting_ends_in_time_while_nothing_is_answered(server: LaidOutServer) -> None:
    """Also where the server is away, and where it takes the question and says nothing: the client's own limit is far longer."""
    server.lay(*JOB, Answer(job_in("running")), BUSY)
    with Client(server.url) as client, pytest.raises(errors.WaitTimeoutError, match="as last seen; it goes on") as caught:
        client.job(JOB_ID).wait(timeout_s=0.3)
    assert caught.value.job.state == "running"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with Client(url, timeout_s=3600) as client, pytest.raises(errors.WaitTimeoutError):
            Job(client, job_in("running")).wait(timeout_s=0.3)

        async def use() -> Any:
            async with AsyncClient(url, timeout_s=3600) as client:
                return await AsyncJob(client, job_in("running")).wait(timeout_s=0.3)

        with ThreadPoolExecutor(1) as pool, pytest.raises(errors.WaitTimeoutError):
            pool.submit(asyncio.run, use()).result()


def test_acts_on_a_job(server: LaidOutServer, client: Client) -> None:
    server.lay(*JOB, Answer(job_in("running")))
    server.lay("POST", f"/v1/jobs/{JOB_ID}/cancel", Answer(job_in("cancelling")))
    server.lay("POST", f"/v1/jobs/{JOB_ID}/retry", Answer(job_in("queued")))
    server.lay("DELETE", f"/v1/jobs/{JOB_ID}", Answer(b"", 204))
    job = client.job(JOB_ID)
    assert job.cancel().state == "cancelling"
    assert job.retry(codes=["truncated"], version=2).state == "queued"
    assert json.loads(server.seen[-1].body) == {"codes": ["truncated"], "version": 2}
    job.delete()
    assert [seen.method for seen in server.seen] == ["GET", "POST", "POST", "DELETE"]

    async def use(client: AsyncClient) -> Any:
        found = await client.job(JOB_ID)
        return (await found.cancel()).state, (await found.retry()).state, repr(found)

    assert run_async(server, use) == ("cancelling", "queued", f"<dermq.AsyncJob {JOB_ID} 'l.zip': queued>")


def test_no_server_is_an_error_after_few_pauses() -> None:
    began = time.monotonic()
    address = f"http://127.0.0.1:{free_port()}"
    with Client(address, retries=Retries(attempts=2)) as client, pytest.raises(UnreachableError, match="no DermQ server"):
        client.models()
    assert time.monotonic() - began >= 0.1  # it was tried again


def test_a_job_is_waited_for_while_the_server_restarts(server: LaidOutServer) -> None:
    lost: list[int] = []
    server.lay(*JOB, Answer(job_in("running")), BUSY, Answer(drop=True), Answer(job_in("succeeded")))
    with Client(server.url, retries=Retries(attempts=1)) as client:
        states = [info.state for info in client.job(JOB_ID).updates(on_lost=lambda: lost.append(1))]
    assert (states, len(lost)) == (["running", "succeeded"], 2)


def test_a_job_that_is_gone_ends_the_waiting(server: LaidOutServer, client: Client) -> None:
    gone = Answer({"code": "not_found", "detail": "no such job"}, 404, kind="application/problem+json")
    server.lay(*JOB, Answer(job_in("running")), gone)
    with pytest.raises(errors.NotFoundError, match="no such job"):
        client.job(JOB_ID).wait()


def test_the_environment_names_server_and_key(server: LaidOutServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DERMQ_SERVER", server.url + "/")
    monkeypatch.setenv("DERMQ_API_KEY", "from-the-environment")
    server.lay("GET", "/v1/models", Answer({"data": []}))
    with Client() as client:
        assert client.models() == []
    assert server.seen[0].headers["Authorization"] == "Bearer from-the-environment"
    with Client(api_key="") as client:
        client.models()
    assert "Authorization" not in server.seen[1].headers
    (tmp_path / "key").write_text("from-a-file\n")
    with Client(api_key=f"@{tmp_path / 'key'}") as client:
        client.models()
    assert server.seen[2].headers["Authorization"] == "Bearer from-a-file"
    with pytest.raises(errors.UnreadableError, match="the file of the API key cannot be read"):
        Client(api_key="@gone")
