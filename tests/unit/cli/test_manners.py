"""Manners of the command line: quiet, the same submission twice, what the shell offers, the stack from outside."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cli.completion import complete_job, complete_model
from cli.http.client import JobRequest
from cli.http.contentkey import content_key
from cli.stack.folder import DataFolder
from tests.unit.cli.in_process import Run
from tests.unit.cli.laid_out import Answer, LaidOutServer

REPLAYED = {"Idempotency-Replayed": "true"}


def lay_out(server: LaidOutServer, job: dict[str, Any], **answer: Any) -> None:
    server.lay("POST", "/v1/jobs", Answer(job, 202, **answer))
    server.lay("GET", f"/v1/jobs/{job['id']}", Answer(job))
    server.lay("GET", f"/v1/jobs/{job['id']}/results.csv", Answer(b"item\n1\n", kind="text/csv"))


def test_quiet_is_results_and_errors_alone(run: Run, server: LaidOutServer, job: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"an image")
    lay_out(server, job)
    out = tmp_path / "results.csv"
    done = run("screen", str(tmp_path / "a.jpg"), "--quiet", "--out", str(out), "--server", server.url)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert out.read_bytes() == b"item\n1\n"
    done = run("submit", str(tmp_path / "a.jpg"), "-q", "--server", server.url)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{job['id']}\n", "")
    done = run("watch", job["id"], "-q", "--server", server.url)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    failed = run("status", "00000000-0000-0000-0000-000000000000", "-q", "--server", server.url)
    assert failed.returncode == 4
    assert "Error:" in failed.stderr


def test_the_same_submission_is_the_same_job(run: Run, server: LaidOutServer, job: dict[str, Any], tmp_path: Path) -> None:
    image = tmp_path / "a.jpg"
    image.write_bytes(b"an image")
    lay_out(server, job)

    def key(*options: str) -> str:
        assert run("submit", str(image), *options, "--server", server.url).stdout == f"{job['id']}\n"
        return server.seen[-1].headers["Idempotency-Key"]

    first = key()
    assert first.startswith("content-")
    assert key() == first
    assert len({first, key("--priority", "high"), key("--name", "other"), key("--again"), key("--again")}) == 5
    image.write_bytes(b"another image")
    assert key() != first


def test_a_submission_that_was_there_before_says_so(
    run: Run, server: LaidOutServer, job: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "a.jpg").write_bytes(b"an image")
    lay_out(server, job, headers=REPLAYED)
    done = run("submit", str(tmp_path / "a.jpg"), "--server", server.url)
    assert done.stdout == f"{job['id']}\n"
    assert done.stderr == "The same as before: lesions.zip is succeeded. For another job: --again\n"


def test_a_folder_counts_by_its_files(tmp_path: Path) -> None:
    folder, request = tmp_path / "images", JobRequest(model="m")
    folder.mkdir()
    (folder / "a.jpg").write_bytes(b"one")
    key = content_key((folder,), request, sent=True)
    assert key == content_key((folder,), request, sent=True)
    assert key != content_key((folder,), request, sent=False)
    assert key != content_key((folder,), JobRequest(model="n"), sent=True)
    (folder / "b.jpg").write_bytes(b"two")
    assert key != content_key((folder,), request, sent=True)
    assert content_key((), request, sent=True) is None


def test_the_shell_is_offered_jobs_and_models(server: LaidOutServer, job: dict[str, Any]) -> None:
    server.lay("GET", "/v1/jobs", Answer({"data": [job], "next": None}))
    server.lay("GET", "/v1/models", Answer({"data": [{"name": "starter"}, {"name": "star"}, {"name": "mine"}], "next": None}))
    given: Any = SimpleNamespace(params={"server": server.url})
    assert complete_job(given, "") == [("last", "the newest job"), (job["id"], "lesions.zip, succeeded")]
    assert complete_job(given, "019a") == [(job["id"], "lesions.zip, succeeded")]
    assert complete_model(given, "star") == ["starter", "star"]


def test_the_shell_is_offered_nothing_where_no_server_answers(server: LaidOutServer, tmp_path: Path) -> None:
    for params in (
        {"server": "http://127.0.0.1:9"},
        {"server": server.url},
        {"server": "no address:x"},
        {"data_dir": tmp_path},
    ):
        given: Any = SimpleNamespace(params=params)
        assert complete_model(given, "") == []


HOLD = """
import fcntl, json, os, signal, sys, time
file = open(sys.argv[1], "w")
fcntl.flock(file, fcntl.LOCK_EX)
json.dump({"pid": os.getpid(), "url": "http://127.0.0.1:9"}, file)
file.flush()
if sys.argv[2] == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("held", flush=True)
time.sleep(60)
"""


@contextmanager
def held(folder: DataFolder, kind: str = "") -> Iterator[subprocess.Popen[bytes]]:
    """A process that holds a data folder as `dermq up` does."""
    command = [sys.executable, "-c", HOLD, str(folder.lock), kind]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    made = DataFolder(tmp_path / "data")
    made.create()
    return made


def test_down_ends_the_stack_and_waits_for_it(run: Run, folder: DataFolder) -> None:
    with held(folder) as process:
        done = run("down", "--data-dir", str(folder.root), "--json")
        assert process.wait(10) == -15
    stack = {"object": "stack", "data_dir": str(folder.root), "stopped": True, "pid": process.pid}
    assert json.loads(done.stdout) == stack
    again = run("down", "--data-dir", str(folder.root))
    assert (again.returncode, again.stderr) == (0, f"No stack runs on {folder.root}.\n")


def test_down_says_what_does_not_end(run: Run, folder: DataFolder) -> None:
    with held(folder, "stubborn") as process:
        done = run("down", "--data-dir", str(folder.root), "--timeout", "0.3")
        assert process.poll() is None
    assert done.returncode != 0
    assert f"process {process.pid}, which runs the stack on {folder.root}, has not ended within 0.3 s" in done.stderr


def test_up_detached_names_the_stack_that_runs_already(run: Run, folder: DataFolder) -> None:
    with held(folder) as process:
        done = run("up", "--detach", "--json", "--data-dir", str(folder.root))
    stack = {"object": "stack", "url": "http://127.0.0.1:9", "pid": process.pid, "data_dir": str(folder.root), "started": False}
    assert json.loads(done.stdout) == stack


def test_up_detached_tells_why_it_could_not_start(run: Run, folder: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERMQ_SERVING_ADDRESS", "https://serving")  # a setting that no process can start with
    done = run("up", "--detach", "--data-dir", str(folder.root))
    assert done.returncode != 0
    assert "`dermq up` ended with" in done.stderr
    assert f"Its log: {folder.log('up')}" in done.stderr


def test_logs_are_the_last_lines_of_this_run(run: Run, folder: DataFolder) -> None:
    folder.log("api").write_text("old\n--- 2026-11-20 ---\none\ntwo\nthree\n")
    folder.log("worker").write_text("--- 2026-11-20 ---\nwork\n")
    data = ("--data-dir", str(folder.root))
    assert run("logs", "api", "-n", "2", *data).stdout == "two\nthree\n"
    assert json.loads(run("logs", "--json", *data).stdout) == {"api": ["one", "two", "three"], "worker": ["work"]}
    both = run("logs", *data)
    assert both.stdout == "one\ntwo\nthree\nwork\n"
    assert f"api ({folder.log('api')}):" in both.stderr
    missing = run("logs", "nothing", *data)
    assert missing.returncode == 4
    assert "there are api, worker" in missing.stderr


def test_jobs_are_found_by_state_and_name(run: Run, server: LaidOutServer, job: dict[str, Any]) -> None:
    server.lay("GET", "/v1/jobs", Answer({"data": [job], "next": None}))
    done = run("jobs", "--state", "failed", "--state", "cancelled", "--search", "lesion", "--json", "--server", server.url)
    assert json.loads(done.stdout) == [job]
    assert server.seen[0].target == "/v1/jobs?state=failed&state=cancelled&name=lesion&limit=20"
    server.lay("GET", "/v1/jobs", Answer({"data": [], "next": None}))
    assert "No such job." in run("jobs", "--search", "x", "--server", server.url).stderr
    assert "'gone' is not one of" in " ".join(run("jobs", "--state", "gone", "--server", server.url).stderr.split())
