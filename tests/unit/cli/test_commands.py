"""The commands against a server whose answers are laid out: exit codes, streams, what is sent."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.servers import free_port, wait_until
from tests.unit.cli.in_process import Run
from tests.unit.cli.laid_out import Answer, LaidOutServer

JOB = "019a9f3e-7c11-7d2b-9a44-0c5b8f6e2d10"  # as the fixture `job`
ROOT = Path(__file__).resolve().parents[3]
COMMANDS = (
    *("demo", "screen", "submit", "jobs", "status", "watch", "results"),
    *("errors", "cancel", "retry", "delete", "up", "models", "doctor"),
    *("compare", "promote", "rollback", "retire", "evaluate-job"),
)


@pytest.fixture
def empty(tmp_path: Path) -> list[str]:
    """Arguments that name a data folder on which nothing runs."""
    return ["--data-dir", str(tmp_path / "data")]


def test_help_names_every_command_and_the_exit_codes(run: Run) -> None:
    done = run("--help")
    assert done.returncode == 0
    for command in COMMANDS:
        assert f" {command} " in done.stdout
    assert "Exit codes: 0 done" in done.stdout
    assert "not a diagnosis" in " ".join(done.stdout.split())


def test_asking_a_server_loads_neither_settings_nor_retries() -> None:
    code = (
        "import sys\nfrom cli.service import connect\nfrom cli.stack.folder import DataFolder\nimport cli.http.client\n"
        "DataFolder.at(None)\n"
        "print(sorted({'pydantic', 'pydantic_settings', 'stamina', 'sqlalchemy', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(run: Run, command: str) -> None:
    done = run(command, "--help")
    assert done.returncode == 0
    assert "Usage:" in done.stdout


@pytest.mark.parametrize("command", [["jobs"], ["status", JOB], ["watch", JOB], ["results", JOB], ["models"]])
def test_without_a_server_there_is_advice(run: Run, command: list[str], empty: list[str]) -> None:
    done = run(*command, *empty)
    assert (done.returncode, done.stdout) == (3, "")
    assert "dermq up" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_server_that_does_not_answer_is_code_3(run: Run) -> None:
    done = run("jobs", "--server", f"http://127.0.0.1:{free_port()}")
    assert done.returncode == 3
    assert "no DermQ server answers" in done.stderr


def test_an_unknown_job_is_code_4(run: Run, server: LaidOutServer) -> None:
    done = run("status", JOB, "--server", server.url)
    assert done.returncode == 4
    assert f"nothing is at /v1/jobs/{JOB}" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["screen", "gone.zip"], "gone.zip does not exist"),
        (["screen", "http://example.org/x.zip"], "expected a path or an address such as s3://bucket/prefix"),
        (["screen", ".", "--label", "stable", "--version", "1"], "Give one of the two"),
        (["screen", ".", "--out", "results.xlsx"], "the format of results.xlsx is not clear"),
        (["screen", ".", "--out", "no/such/folder.csv"], "does not exist"),
        (["screen", "."], "is empty"),
        (["screen", ".", "--version", "0"], "--version"),
        (["frobnicate"], "frobnicate"),
    ],
)
def test_wrong_usage_is_code_2_and_starts_nothing(
    run: Run, arguments: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))
    done = run(*arguments)
    assert done.returncode == 2
    assert words in " ".join(done.stderr.split())
    assert not (tmp_path / "xdg").exists()


def test_screen_sends_watches_and_writes(
    run: Run, server: LaidOutServer, job: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DERMQ_SERVER", server.url)
    monkeypatch.setenv("DERMQ_API_KEY", "k")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jpg").write_bytes(b"x")
    path = f"/v1/jobs/{job['id']}"
    server.lay("POST", "/v1/jobs", Answer({**job, "state": "queued"}, 202))
    server.lay("GET", path, Answer(job))
    server.lay("GET", f"{path}/results", Answer({"data": [], "next": None}))
    server.lay("GET", f"{path}/errors", Answer({"data": [], "next": None}))
    server.lay("GET", f"{path}/results.jsonl", Answer(b"{}\n", kind="application/jsonl"))
    done = run("screen", "in", "--json", "--strict", "--out", "r.jsonl")
    assert done.returncode == 6
    assert json.loads(done.stdout) == job
    assert "Results: r.jsonl" in done.stderr
    assert (tmp_path / "r.jsonl").read_bytes() == b"{}\n"
    assert {seen.headers["Authorization"] for seen in server.seen} == {"Bearer k"}


HEADER = b"item,name\n"


def lay_ended(server: LaidOutServer, job: dict[str, Any]) -> None:
    """A job that ends as `job` says."""
    path = f"/v1/jobs/{job['id']}"
    server.lay("POST", "/v1/jobs", Answer({**job, "state": "queued"}, 202))
    server.lay("GET", path, Answer(job))
    server.lay("GET", f"{path}/results", Answer({"data": [], "next": None}))
    server.lay("GET", f"{path}/errors", Answer({"data": [], "next": None}))
    server.lay("GET", f"{path}/results.csv", Answer(HEADER, kind="text/csv"))


NOTHING = {"total": None, "succeeded": 0, "failed": 0, "skipped": 0, "remaining": None}


@pytest.mark.parametrize(
    ("change", "before", "after", "words"),
    [
        ({"state": "failed", "counts": NOTHING}, b"old\n", b"old\n", "Results: none; results.csv is as it was"),
        ({"state": "failed", "counts": NOTHING}, None, None, "Results: none; nothing is written"),
        (
            {"state": "failed"},
            b"old\n",
            b"old\n",
            "results.csv is as it was, as the job failed; to fetch its 45 rows:",
        ),
        ({"state": "cancelled"}, None, HEADER, "Results: results.csv"),
        ({}, b"old\n", HEADER, "Results: results.csv"),
    ],
)
def test_a_failed_screening_leaves_the_results_that_were_there(
    *,
    run: Run,
    server: LaidOutServer,
    job: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, Any],
    before: bytes | None,
    after: bytes | None,
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    results = tmp_path / "results.csv"
    if before is not None:
        results.write_bytes(before)
    lay_ended(server, {**job, **change})
    done = run("screen", "s3://bucket/x/", "--server", server.url)
    assert done.returncode == (1 if change else 0)
    assert words in done.stdout
    assert (results.read_bytes() if results.exists() else None) == after


def test_results_on_stdout_alone(run: Run, server: LaidOutServer, job: dict[str, Any]) -> None:
    lay_ended(server, job)
    done = run("screen", "s3://bucket/x/", "--tag", "ward 7", "--out", "-", "--server", server.url)
    assert (done.returncode, done.stdout, json.loads(server.seen[0].body)["tags"]) == (0, HEADER.decode(), ["ward 7"])
    assert "lesions.zip succeeded" in done.stderr
    assert "Results: standard output" in done.stderr
    both = run("screen", "s3://bucket/x/", "--out", "-", "--json", "--server", server.url)
    assert (both.returncode, both.stdout) == (2, "")
    server.lay("GET", f"/v1/jobs/{JOB}/results.jsonl", Answer(b"{}\n", kind="application/jsonl"))
    assert run("results", JOB, "--out", "-", "--json", "--server", server.url).stdout == "{}\n"


def test_csv_for_excel(run: Run, server: LaidOutServer, job: dict[str, Any], tmp_path: Path) -> None:
    lay_ended(server, job)
    assert run("screen", "s3://bucket/x/", "--excel", "--out", str(tmp_path / "r.csv"), "--server", server.url).returncode == 0
    assert server.seen[-1].path.endswith("/results") or server.seen[-1].path.endswith("/errors")
    assert [seen.query for seen in server.seen if seen.path.endswith(".csv")] == [{"bom": "true"}]
    refused = run("results", job["id"], "--excel", "--format", "jsonl", "--server", server.url)
    assert refused.returncode == 2
    assert "--excel is for CSV, and standard output is to be jsonl" in refused.stderr


def test_odd_bytes_on_the_command_line_are_sent_and_shown(
    run: Run, server: LaidOutServer, job: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sk\udcffin.zip").write_bytes(b"x")
    lay_ended(server, job)
    done = run("screen", "sk\udcffin.zip", "--out", "r\udcff.csv", "--server", server.url)
    assert done.returncode == 0
    assert server.seen[0].query["name"] == "sk\ufffdin.zip"
    assert r"Results: r\udcff.csv" in done.stdout
    assert (tmp_path / "r\udcff.csv").read_bytes() == HEADER
    refused = run("status", "a/../b?c#\udcff", "--server", server.url)
    assert (refused.returncode, "Traceback" in refused.stderr) == (2, False)
    assert "or `last`, got 'a/../b?c#" in " ".join(refused.stderr.split())
    assert run("results", job["id"], "--label", "\udcff", "--server", server.url).returncode == 0
    assert run("retry", job["id"], "--code", "\udcff", "--server", server.url).returncode == 4


def test_submit_prints_the_id_alone(run: Run, server: LaidOutServer, job: dict[str, Any]) -> None:
    server.lay("POST", "/v1/jobs", Answer({**job, "state": "queued", "queue_s": 100_000.0}, 202))
    asked = ("--priority", "high", "--error-budget", "0.1", "--tag", "ward 7", "--tag", "a", "--server", server.url)
    done = run("submit", "s3://bucket/x/", *asked)
    assert (done.returncode, done.stdout) == (0, f"{job['id']}\n")
    wanted = {"priority": "high", "error_budget": 0.1, "tags": ["ward 7", "a"]}
    assert json.loads(server.seen[0].body) == {"source": "s3://bucket/x/"} | wanted
    assert "The queue is long: about 27 h 46 min of work waits for the workers." in done.stderr


def test_ctrl_c_in_watch_leaves_the_job_and_says_how_to_come_back(server: LaidOutServer, job: dict[str, Any]) -> None:
    server.lay("GET", f"/v1/jobs/{job['id']}", Answer({**job, "state": "running"}))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background: inherited
    command = [sys.executable, "-m", "cli", "watch", job["id"], "--server", server.url]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT) as watching:
        try:
            wait_until(lambda: len(server.seen) > 2, timeout_s=30, what="three polls")
            watching.send_signal(signal.SIGINT)
            _, output = watching.communicate(timeout=30)
        finally:
            watching.kill()
    assert watching.returncode == 130
    assert (
        output.splitlines()[-1]
        == f"Job {job['id']} goes on without you; to come back: dermq watch {job['id']} --server {server.url}"
    )
    assert {seen.method for seen in server.seen} == {"GET"}


def test_watch_ends_with_the_jobs_code(run: Run, server: LaidOutServer, job: dict[str, Any]) -> None:
    server.lay("GET", f"/v1/jobs/{JOB}", Answer({**job, "state": "cancelled"}))
    done = run("watch", JOB, "--json", "--server", server.url)
    assert done.returncode == 1
    assert json.loads(done.stdout)["state"] == "cancelled"


def test_results_go_to_stdout_with_filters(run: Run, server: LaidOutServer) -> None:
    server.lay("GET", f"/v1/jobs/{JOB}/results.csv", Answer("item,näme\n".encode(), kind="text/csv"))
    asked = ("--label", "mel", "--min-risk", "0.5", "--note", "blurred", "--min-novelty", "1.5", "--sort", "-novelty")
    done = run("results", JOB, *asked, "--server", server.url)
    assert (done.returncode, done.stdout) == (0, "item,näme\n")
    assert server.seen[0].query == {
        "label": "mel",
        "min_risk": "0.5",
        "note": "blurred",
        "min_novelty": "1.5",
        "sort": "-novelty",
    }


def test_cancel_retry_delete(run: Run, server: LaidOutServer, job: dict[str, Any]) -> None:
    server.lay("POST", f"/v1/jobs/{JOB}/cancel", Answer(job))
    server.lay("POST", f"/v1/jobs/{JOB}/retry", Answer(job))
    server.lay("DELETE", f"/v1/jobs/{JOB}", Answer(b"", 204))
    server.lay("GET", f"/v1/jobs/{JOB}", Answer(job))
    assert json.loads(run("cancel", JOB, "--json", "--server", server.url).stdout) == job
    assert run("retry", JOB, "--code", "truncated", "--code", "empty", "--server", server.url).returncode == 0
    assert json.loads(server.seen[1].body) == {"codes": ["truncated", "empty"]}
    refused = run("delete", JOB, "--server", server.url)  # nobody there to say yes
    assert refused.returncode == 1
    assert run("delete", JOB, "--yes", "--server", server.url).returncode == 0
    assert [seen.method for seen in server.seen].count("DELETE") == 1


def test_cancel_says_what_became_of_the_job(run: Run, server: LaidOutServer, job: dict[str, Any]) -> None:
    conflict = {"status": 409, "code": "conflict", "title": "Conflict", "detail": "job 3 has ended already: it succeeded"}
    server.lay("POST", f"/v1/jobs/{JOB}/cancel", Answer({**job, "state": "cancelling"}))
    server.lay("POST", f"/v1/jobs/{JOB[:-1]}2/cancel", Answer({**job, "state": "cancelled"}))
    server.lay("POST", f"/v1/jobs/{JOB[:-1]}3/cancel", Answer(conflict, 409, kind="application/problem+json"))
    assert f"Job {job['id']} is being cancelled; results so far are kept." in run("cancel", JOB, "--server", server.url).stderr
    assert (
        f"Job {job['id']} is cancelled; results so far are kept."
        in run("cancel", f"{JOB[:-1]}2", "--server", server.url).stderr
    )
    ended = run("cancel", f"{JOB[:-1]}3", "--server", server.url)
    assert ended.returncode == 5
    assert "job 3 has ended already: it succeeded" in ended.stderr


def test_jobs_and_errors_are_tables_or_json(run: Run, server: LaidOutServer, job: dict[str, Any]) -> None:
    failure = {"item": 3, "name": "x.jpg", "code": "truncated", "message": "ends too early"}
    server.lay("GET", "/v1/jobs", Answer({"data": [job, job], "next": f"{server.url}/v1/jobs?cursor=1"}))
    server.lay("GET", f"/v1/jobs/{job['id']}", Answer(job))
    server.lay("GET", f"/v1/jobs/{job['id']}/errors", Answer({"data": [failure], "next": None}))
    assert job["id"] in run("jobs", "--server", server.url).stdout
    assert len(json.loads(run("jobs", "--limit", "3", "--json", "--server", server.url).stdout)) == 3
    output = run("errors", job["id"], "--server", server.url)
    assert "ends too early" in output.stdout
    assert "1 of 3 shown" in output.stderr
    assert json.loads(run("errors", job["id"], "--json", "--server", server.url).stdout) == [failure]


def test_status_and_models(run: Run, server: LaidOutServer, job: dict[str, Any]) -> None:
    version = {"version": 1, "state": "AVAILABLE", "labels": ["stable"], "error": None}
    model = {"name": "starter", "default": True, "versions": [version], "labels": {"stable": 1}, "spec": {"classes": ["mel"]}}
    server.lay("GET", f"/v1/jobs/{JOB}", Answer({**job, "state": "running", "eta_s": 3.0}))
    server.lay("GET", "/v1/models", Answer({"data": [{**model, "error": None}], "next": None}))
    output = run("status", JOB, "--server", server.url).stdout
    assert "classifying" in output
    assert "205 images/s, 3.0 s left" in output
    assert "AVAILABLE" in run("models", "--server", server.url).stdout


def test_doctor_grades_what_it_finds(run: Run, server: LaidOutServer, empty: list[str]) -> None:
    checks = {"database": {"status": "ok"}, "serving": {"status": "error", "error": "away"}}
    server.lay("GET", "/readyz", Answer({"status": "degraded", "checks": checks}))
    server.lay("GET", "/v1/models", Answer({"data": [], "next": None}))
    remote = run("doctor", "--json", "--server", server.url)
    assert remote.returncode == 1
    assert {finding["name"]: finding["grade"] for finding in json.loads(remote.stdout)} == {
        "version": "ok",
        "server": "fail",
        "models": "fail",
    }
    local = run("doctor", *empty)
    assert local.returncode == 0
    assert "no stack runs on this data folder" in local.stdout
    assert "Start one with `dermq up`." in local.stdout


@pytest.mark.parametrize(
    ("setting", "words"),
    [("DERMQ_API_PORT=x", "DERMQ_API_PORT: "), ("DERMQ_WORKER_HARD_LIMIT_S=1", "expected DERMQ_WORKER_SOFT_LIMIT_S < ")],
)
def test_wrong_settings_are_told_before_anything_starts(
    run: Run, empty: list[str], monkeypatch: pytest.MonkeyPatch, setting: str, words: str
) -> None:
    monkeypatch.setenv(*setting.split("="))
    done = run("up", *empty)
    assert done.returncode == 2
    assert words in done.stderr
    assert "starting" not in done.stderr


def test_a_data_folder_that_cannot_be_written_is_told(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run("up", "--data-dir", str(tmp_path / "file"))
    assert done.returncode == 2
    assert f"the data folder {tmp_path / 'file'} cannot be written" in done.stderr


def test_a_taken_port_is_told(run: Run, empty: list[str], server: LaidOutServer) -> None:
    done = run("up", *empty, "--port", server.url.rpartition(":")[2])
    assert done.returncode == 5
    assert "is taken by another process" in done.stderr


def test_the_version_is_told(run: Run) -> None:
    assert run("--version").stdout.startswith("dermq ")


def test_on_a_terminal_there_is_a_live_bar(server: LaidOutServer, job: dict[str, Any]) -> None:
    counts = {"total": 45, "succeeded": 10, "failed": 1, "skipped": 0, "remaining": 34}
    running = {**job, "state": "running", "counts": counts, "eta_s": 12.4}
    server.lay("GET", f"/v1/jobs/{job['id']}", *[Answer(running)] * 4, Answer(job))
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "cli", "watch", job["id"], "--json", "--server", server.url]
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=theirs, cwd=ROOT, env=environment) as watching:
        os.close(theirs)
        drawn = b""
        with contextlib.suppress(OSError), os.fdopen(ours, "rb", buffering=0) as terminal:  # EIO: the other end is closed
            while block := terminal.read(4096):
                drawn += block
    assert watching.returncode == 0
    assert "classifying" in drawn.decode()
    assert "11 of 45, 1 failed, 205 images/s, 12 s left" in drawn.decode()
    assert b"\x1b[?25h" in drawn  # the cursor is back


def test_options_before_a_verb_of_models_count_as_behind_it(run: Run, tmp_path: Path) -> None:
    before = run("models", "--data-dir", str(tmp_path / "here"), "unlabel", "starter", "canary")
    behind = run("models", "unlabel", "starter", "canary", "--data-dir", str(tmp_path / "here"))
    assert (before.returncode, before.stderr) == (behind.returncode, behind.stderr)
    assert f"no stack runs on {tmp_path / 'here'}" in before.stderr.replace("\n", "")
    refused = run("models", "--server", "http://127.0.0.1:1", "add", "x", str(tmp_path))
    assert refused.returncode == 2
    assert "`dermq models add` does not take it" in refused.stderr
