"""The HTTP client against a real server that misbehaves on demand."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from cli.http.client import Client, JobRequest
from cli.http.requestbody import read_payload
from cli.output.exit_codes import CliError, ExitCode
from tests.support.servers import free_port
from tests.unit.cli.in_process import Run
from tests.unit.cli.laid_out import Answer, LaidOutServer

BUSY = Answer({"detail": "database away", "title": "Database away"}, 503, {"Retry-After": "0"}, "application/problem+json")


@pytest.fixture
def client(server: LaidOutServer) -> Iterator[Client]:
    with Client(server.url, "secret-key") as opened:
        yield opened


def test_key_and_agent_are_sent(server: LaidOutServer, client: Client, job: dict[str, Any]) -> None:
    server.lay("GET", "/v1/jobs/1", Answer(job))
    assert client.job("1") == job
    assert server.seen[0].headers["Authorization"] == "Bearer secret-key"


def test_no_key_no_header(server: LaidOutServer, job: dict[str, Any]) -> None:
    server.lay("GET", "/v1/jobs/1", Answer(job))
    with Client(server.url) as client:
        client.job("1")
    assert "Authorization" not in server.seen[0].headers


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, ExitCode.USAGE),
        (401, ExitCode.USAGE),
        (404, ExitCode.NOT_FOUND),
        (409, ExitCode.CONFLICT),
        (413, ExitCode.USAGE),
        (422, ExitCode.USAGE),
        (500, ExitCode.UNREACHABLE),
    ],
)
def test_a_problem_becomes_an_error_with_its_exit_code(
    server: LaidOutServer, client: Client, status: int, code: ExitCode
) -> None:
    problem = {"type": "/x", "title": "Title", "status": status, "detail": "what was wrong, and the fix"}
    server.lay("GET", "/v1/jobs/1", Answer(problem, status, kind="application/problem+json"))
    with pytest.raises(CliError, match=r"^what was wrong, and the fix$") as caught:
        client.job("1")
    assert caught.value.code == code
    assert len(server.seen) == 1


def test_an_answer_of_something_else_is_named(server: LaidOutServer, client: Client) -> None:
    server.lay("GET", "/v1/jobs/1", Answer(b"<html>proxy</html>", 500, kind="text/html"))
    with pytest.raises(CliError, match=r"GET http://.*/v1/jobs/1 answered 500"):
        client.job("1")


@pytest.mark.parametrize("body", [b"<html>hello</html>", b"[]", b"\xff\xfe"])
def test_a_server_that_is_not_dermq_is_told(server: LaidOutServer, client: Client, body: bytes) -> None:
    server.lay("GET", "/v1/jobs/1", Answer(body))
    with pytest.raises(CliError, match="not as DermQ does") as caught:
        client.job("1")
    assert caught.value.code == ExitCode.UNREACHABLE


def test_a_busy_or_lost_server_is_asked_again(server: LaidOutServer, client: Client, job: dict[str, Any]) -> None:
    server.lay("GET", "/v1/jobs/1", BUSY, Answer(drop=True), Answer(job))
    assert client.job("1") == job
    assert len(server.seen) == 3


def test_a_server_that_stays_busy_is_an_error(server: LaidOutServer) -> None:
    server.lay("GET", "/v1/jobs/1", BUSY)
    with Client(server.url, attempts=3) as client, pytest.raises(CliError, match="database away") as caught:
        client.job("1")
    assert caught.value.code == ExitCode.UNREACHABLE
    assert len(server.seen) == 3


def test_no_server_at_all_is_told_after_few_and_short_pauses_with_advice() -> None:
    pauses: list[float] = []
    address = f"http://127.0.0.1:{free_port()}"
    with Client(address, attempts=3, sleep=pauses.append) as client, pytest.raises(CliError, match="no DermQ server") as caught:
        client.job("1")
    assert caught.value.code == ExitCode.UNREACHABLE
    assert "dermq up" in caught.value.hint
    assert len(pauses) == 2
    assert max(pauses) <= 2.0  # as the client asks for


@pytest.mark.parametrize("url", ["ftp://x", "localhost:80", "http://"])
def test_an_address_that_is_none_is_told(url: str) -> None:
    with Client(url) as client, pytest.raises(CliError) as caught:
        client.job("1")
    assert caught.value.code == ExitCode.UNREACHABLE


def test_a_submit_is_repeated_with_the_same_key_and_body(
    server: LaidOutServer, client: Client, job: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "ä.jpg").write_bytes(b"image" * 1000)
    server.lay("POST", "/v1/jobs", Answer(drop=True), BUSY, Answer(job, 202))
    sent: list[int] = []
    assert client.submit(read_payload(tmp_path), JobRequest(model="m", version=3), on_sent=sent.append) == job
    assert len({seen.headers["Idempotency-Key"] for seen in server.seen}) == 1
    assert len({seen.body for seen in server.seen}) == 1
    with zipfile.ZipFile(io.BytesIO(server.seen[0].body)) as archive:
        assert archive.read("ä.jpg") == b"image" * 1000
    assert server.seen[0].query == {"name": f"{tmp_path.name}.zip", "model": "m", "version": "3"}
    assert sent[-1] == len(server.seen[0].body)


def test_a_file_is_sent_with_its_length(server: LaidOutServer, client: Client, job: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "l.zip"
    path.write_bytes(b"x" * 3_000_000)
    server.lay("POST", "/v1/jobs", Answer(job, 202))
    client.submit(read_payload(path), JobRequest(name="other"))
    seen = server.seen[0]
    assert seen.headers["Content-Length"] == "3000000"
    assert "Transfer-Encoding" not in seen.headers
    assert (seen.body, seen.query) == (path.read_bytes(), {"name": "other"})


def test_a_source_is_json(server: LaidOutServer, client: Client, job: dict[str, Any]) -> None:
    server.lay("POST", "/v1/jobs", Answer(job, 202))
    client.submit_source("s3://bucket/prefix/", JobRequest(label="canary"))
    assert server.seen[0].body == b'{"source":"s3://bucket/prefix/","label":"canary"}'


def test_pages_follow_next(server: LaidOutServer, client: Client) -> None:
    first = {"data": [{"n": 1}], "next": f"{server.url}/v1/jobs?cursor=abc"}
    server.lay("GET", "/v1/jobs", Answer(first), Answer({"data": [{"n": 2}], "next": None}))
    assert list(client.pages("/v1/jobs", {"limit": 1})) == [[{"n": 1}], [{"n": 2}]]
    assert [seen.query for seen in server.seen] == [{"limit": "1"}, {"cursor": "abc"}]


def test_the_next_page_is_filtered_as_the_first(run: Run, server: LaidOutServer, job: dict[str, Any]) -> None:
    link = "/v1/jobs?state=queued&state=running&name=a+%26+b&limit=200&cursor=abc"
    first = {"data": [job] * 200, "next": f"http://elsewhere.example{link}"}
    server.lay("GET", "/v1/jobs", Answer(first), Answer({"data": [job], "next": None}))
    asked = ("--state", "queued", "--state", "running", "--search", "a & b", "--limit", "300")
    done = run("jobs", *asked, "--json", "--server", server.url)
    assert len(json.loads(done.stdout)) == 201
    queries = [parse_qs(urlsplit(seen.target).query) for seen in server.seen]
    filters = {"state": ["queued", "running"], "name": ["a & b"], "limit": ["200"]}
    assert queries == [filters, filters | {"cursor": ["abc"]}]


def test_results_appear_whole_or_not_at_all(server: LaidOutServer, client: Client, tmp_path: Path) -> None:
    target = tmp_path / "results.csv"
    server.lay("GET", "/v1/jobs/1/results.csv", Answer(b"item\n0\n", kind="text/csv"))
    client.save_results("1", "csv", target, {"sort": "-risk"})
    assert target.read_bytes() == b"item\n0\n"
    assert server.seen[0].query == {"sort": "-risk"}
    server.lay("GET", "/v1/jobs/1/results.csv", Answer(b"half", headers={"Content-Length": "400"}, kind="text/csv"))
    with pytest.raises(CliError):
        client.save_results("1", "csv", target)
    assert target.read_bytes() == b"item\n0\n"
    assert [path.name for path in tmp_path.iterdir()] == ["results.csv"]


def test_an_id_cannot_become_another_address(server: LaidOutServer, client: Client) -> None:
    with pytest.raises(CliError):
        client.job("../models?x=1")
    assert server.seen[0].path == "/v1/jobs/..%2Fmodels%3Fx%3D1"


PROXIES = {
    "http": {"http_proxy": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"},
    "socks": {"ALL_PROXY": "socks5://127.0.0.1:9"},
    "socks, with exceptions": {"ALL_PROXY": "socks5h://127.0.0.1:9", "NO_PROXY": "localhost,127.0.0.1"},
}


@pytest.fixture
def no_exceptions(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY"):  # set first, so that what a command sets is taken back after the test
        monkeypatch.setenv(name, "")


@pytest.mark.usefixtures("no_exceptions")
@pytest.mark.parametrize("variables", PROXIES.values(), ids=PROXIES)
def test_a_server_on_this_machine_is_asked_without_a_proxy(
    monkeypatch: pytest.MonkeyPatch, server: LaidOutServer, run: Run, job: dict[str, Any], variables: dict[str, str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    server.lay("GET", f"/v1/jobs/{job['id']}", Answer(job))
    done = run("status", job["id"], "--server", server.url, "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["id"] == job["id"]


@pytest.mark.usefixtures("no_exceptions")
def test_a_server_elsewhere_is_asked_through_the_proxy(
    monkeypatch: pytest.MonkeyPatch, server: LaidOutServer, run: Run
) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    done = run("status", "last", "--server", "http://dermq.clinic.example")
    assert done.returncode == ExitCode.NOT_FOUND  # so the proxy, which this server plays, has answered
    assert server.seen[0].headers["Host"] == "dermq.clinic.example"


@pytest.mark.usefixtures("no_exceptions")
def test_a_proxy_of_an_unknown_kind_is_a_sentence(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.setenv("ALL_PROXY", "gopher://127.0.0.1:9")
    done = run("jobs", "--server", "http://dermq.clinic.example")
    assert done.returncode == ExitCode.USAGE
    assert "the proxy that the environment names cannot be used: Unknown scheme for proxy URL" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
