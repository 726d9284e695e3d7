"""`dermq watch-folder`: each settled file once, also over a restart, a crash and a server that is away."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.http import requestbody
from cli.output.exit_codes import CliError, ExitCode
from cli.watching import folder as watched_folder
from cli.watching.folder import MEMORY, WatchedFolder
from dermq.bodies import Payload, file_payload
from tests.support.servers import ROOT, wait_until
from tests.unit.cli.in_process import Run
from tests.unit.cli.laid_out import Answer, LaidOutServer


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    (folder / "ward").mkdir(parents=True)
    return folder


@pytest.fixture
def accepting(server: LaidOutServer, job: dict[str, Any]) -> LaidOutServer:
    server.lay("POST", "/v1/jobs", Answer(job, 202))
    return server


def names(server: LaidOutServer) -> list[str]:
    return [seen.query["name"] for seen in server.seen]


def test_each_file_is_submitted_once_also_by_a_later_watch(run: Run, accepting: LaidOutServer, inbox: Path) -> None:
    (inbox / "a.zip").write_bytes(b"one")
    (inbox / "ward/b.jpg").write_bytes(b"two")
    for name in (".hidden.jpg", "c.zip.part", "Thumbs.db", "d.crdownload"):
        (inbox / name).write_bytes(b"not yet, or never")
    (inbox / "empty.jpg").touch()
    command = ("watch-folder", str(inbox), "--once", "--settle", "0.1", "--server", accepting.url)
    done = run(*command)
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 2)
    assert names(accepting) == ["a.zip", "b.jpg"]
    (inbox / "late.jpg").write_bytes(b"three")
    assert run(*command).returncode == 0
    assert names(accepting) == ["a.zip", "b.jpg", "late.jpg"]
    (inbox / "a.zip").write_bytes(b"changed")
    assert run(*command, "--json").returncode == 0
    assert names(accepting)[3:] == ["a.zip"]
    keys = {seen.headers["Idempotency-Key"] for seen in accepting.seen}
    assert len(keys) == 4
    assert all(key.startswith("content-") for key in keys)


def test_a_file_settles_before_it_counts(inbox: Path) -> None:
    watched = WatchedFolder(inbox, settle_s=5)
    path = inbox / "a.zip"
    path.write_bytes(b"first half")
    with watched.held():
        assert watched.settled(100.0) == []
        assert watched.waits
        assert watched.settled(104.9) == []
        path.write_bytes(b"first half, second half")
        assert watched.settled(105.1) == []  # it has changed, and settles anew
        assert watched.settled(110.1) == [path]
        watched.remember(path, "job-1")
        assert watched.settled(200.0) == []
        assert not watched.waits
        path.unlink()
        assert watched.settled(300.0) == []


def test_a_line_that_was_cut_off_is_left_out(inbox: Path) -> None:
    for name in ("a.zip", "b.zip"):
        (inbox / name).write_bytes(name.encode())
    watched = WatchedFolder(inbox, settle_s=1)
    with watched.held():
        assert watched.settled(0.0) == []
        for path in watched.settled(1.0):
            watched.remember(path, "job")
    lines = (inbox / MEMORY).read_text().splitlines()
    assert [json.loads(line)["name"] for line in lines] == ["a.zip", "b.zip"]
    (inbox / MEMORY).write_text(lines[0] + "\n" + lines[1][:20])
    with watched.held():
        watched.settled(10.0)
        assert watched.settled(11.0) == [inbox / "b.zip"]


def test_one_watch_at_a_time(run: Run, accepting: LaidOutServer, inbox: Path) -> None:
    with WatchedFolder(inbox, settle_s=1).held():
        done = run("watch-folder", str(inbox), "--server", accepting.url)
    assert done.returncode == ExitCode.CONFLICT
    assert "another `dermq watch-folder` watches" in " ".join(done.stderr.split())


def test_what_the_server_refuses_is_left_out_but_a_wrong_key_ends_the_watch(
    run: Run, server: LaidOutServer, inbox: Path
) -> None:
    (inbox / "a.zip").write_bytes(b"too large")
    command = ("watch-folder", str(inbox), "--once", "--settle", "0.1", "--server", server.url)
    no_key = {"code": "unauthenticated", "detail": "a key is needed"}
    server.lay("POST", "/v1/jobs", Answer(no_key, 401, kind="application/problem+json"))
    assert run(*command).returncode == ExitCode.USAGE
    large = {"code": "too_large", "detail": "over the limit"}
    server.lay("POST", "/v1/jobs", Answer(large, 413, kind="application/problem+json"))
    done = run(*command)
    assert (done.returncode, done.stdout) == (0, "")
    assert "a.zip: over the limit; it is left out until it changes" in " ".join(done.stderr.split())
    assert run(*command).returncode == 0
    assert len(server.seen) == 2


def test_a_folder_that_cannot_be_written_is_a_sentence(inbox: Path) -> None:
    (inbox / MEMORY).mkdir()
    watched = WatchedFolder(inbox, settle_s=1)
    with pytest.raises(CliError, match="cannot be written: Is a directory") as caught, watched.held():
        raise AssertionError
    assert caught.value.code is ExitCode.USAGE


class _Freed:
    """Is interrupted while it is freed: Python reports what a destructor raises, and goes on."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


def test_an_interrupt_that_python_drops_ends_the_watch_before_the_next_file(
    run: Run, accepting: LaidOutServer, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.zip", "b.zip"):
        (inbox / name).write_bytes(name.encode())
    dropped: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda report: dropped.append(report.exc_type))
    submit = watched_folder.submit_source

    def interrupted(*given: Any, **more: Any) -> Any:
        _Freed()
        return submit(*given, **more)

    monkeypatch.setattr(watched_folder, "submit_source", interrupted)
    before = signal.getsignal(signal.SIGINT)
    done = run("watch-folder", str(inbox), "--once", "--settle", "0.1", "--server", accepting.url)
    assert dropped == [KeyboardInterrupt]
    assert (done.returncode, names(accepting)) == (ExitCode.INTERRUPTED, ["a.zip"])
    assert (inbox / MEMORY).read_text().count("\n") == 1
    assert signal.getsignal(signal.SIGINT) is before


def test_a_file_that_goes_away_before_it_is_sent_is_not_remembered(
    run: Run, accepting: LaidOutServer, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, elsewhere = inbox / "a.zip", inbox.parent / "a.zip"
    path.write_bytes(b"one")
    submit = watched_folder.submit_source

    def too_late(*given: Any, **more: Any) -> Any:
        path.rename(elsewhere)
        return submit(*given, **more)

    monkeypatch.setattr(watched_folder, "submit_source", too_late)
    command = ("watch-folder", str(inbox), "--once", "--settle", "0.1", "--server", accepting.url)
    done = run(*command)
    assert (done.returncode, done.stdout, done.stderr, names(accepting)) == (0, "", "", [])
    monkeypatch.setattr(watched_folder, "submit_source", submit)
    elsewhere.rename(path)  # the same file, with the same times
    assert run(*command).returncode == 0
    assert names(accepting) == ["a.zip"]


def test_a_file_that_goes_away_between_two_looks_at_it_ends_no_watch(
    run: Run, accepting: LaidOutServer, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.zip", "b.zip"):
        (inbox / name).write_bytes(name.encode())

    def too_late(path: Path) -> Payload:
        if path.name == "a.zip":
            path.unlink()
        return file_payload(path)

    monkeypatch.setattr(requestbody, "file_payload", too_late)
    done = run("watch-folder", str(inbox), "--once", "--settle", "0.1", "--server", accepting.url)
    assert (done.returncode, names(accepting)) == (0, ["b.zip"])


@contextlib.contextmanager
def watching(inbox: Path, url: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "cli", "watch-folder", str(inbox), "--settle", "0.3", "--server", url]
    with log.open("ab") as out, subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=out) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_watch_that_was_killed_goes_on_where_it_was(accepting: LaidOutServer, inbox: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    (inbox / "a.zip").write_bytes(b"before")
    with watching(inbox, accepting.url, log):
        wait_until(lambda: names(accepting) == ["a.zip"], timeout_s=60, what="the first file")
        (inbox / "b.zip").write_bytes(b"meanwhile")
        wait_until(lambda: names(accepting) == ["a.zip", "b.zip"], timeout_s=60, what="the second file")
        wait_until(lambda: (inbox / MEMORY).read_text().count("\n") == 2, timeout_s=60, what="the memory")
    (inbox / "c.zip").write_bytes(b"while nobody watches")
    with watching(inbox, accepting.url, log) as process:
        wait_until(lambda: names(accepting)[2:] == ["c.zip"], timeout_s=60, what="the third file")
        wait_until(lambda: (inbox / MEMORY).read_text().count("\n") == 3, timeout_s=60, what="the memory of it")
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(60) == ExitCode.INTERRUPTED, log.read_text()


def test_a_server_that_is_away_is_waited_for_and_said_once(run: Run, accepting: LaidOutServer, inbox: Path) -> None:
    """Two pauses, of 1 and 2 s, between three attempts that each try several times."""
    (inbox / "a.zip").write_bytes(b"one")
    away = Answer(
        {"code": "database_unavailable", "detail": "database away"}, 503, {"Retry-After": "0"}, "application/problem+json"
    )
    found = accepting.next_answer("POST", "/v1/jobs")
    accepting.lay("POST", "/v1/jobs", *[away] * 8, found)
    done = run("watch-folder", str(inbox), "--once", "--settle", "0.1", "--server", accepting.url)
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 1)
    assert done.stderr.count("database away") == 1
    assert len({seen.headers["Idempotency-Key"] for seen in accepting.seen}) == 1
