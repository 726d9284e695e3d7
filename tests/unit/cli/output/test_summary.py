"""What a person sees of a job."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from rich.console import Console

from cli.http.client import Client
from cli.http.jobview import JobView, exit_code
from cli.output.exit_codes import CliError, ExitCode
from cli.output.progress import LineView, describe_state, follow
from cli.output.summary import print_summary
from tests.unit.cli.laid_out import Answer, LaidOutServer

ROW = {"item": 3, "name": "a[bold].jpg", "status": "succeeded", "label": "mel", "score": 0.7712, "risk": 0.8, "flag": True}


def render(server: LaidOutServer, job: dict[str, Any]) -> str:
    out = io.StringIO()
    with Client(server.url) as client:
        print_summary(Console(file=out, width=100, markup=False, highlight=False), client, JobView(job))
    return re.sub(r" +", " ", out.getvalue())


def test_the_summary_says_it_all(server: LaidOutServer, job: dict[str, Any]) -> None:
    path = f"/v1/jobs/{job['id']}"
    failure = {"item": 1, "name": "x.jpg", "code": "truncated", "message": "ends too early"}
    server.lay("GET", f"{path}/results", Answer({"data": [ROW], "next": None}))
    server.lay("GET", f"{path}/errors", Answer({"data": [failure], "next": None}), Answer({"data": [], "next": None}))
    server.lay("GET", f"{path}/histogram", Answer({"object": "histogram", "flagged": 5}))
    text = render(server, job)
    assert "lesions.zip succeeded" in text
    assert "45 items · 42 classified · 3 failed · 2 skipped (folders, system files) · 12 s" in text
    assert "12 s · 3.6 images/s in all · 205 images/s while classifying\n" in text.replace("\n ", " ")
    assert "flagged: 5 of 42, 11.9 % (risk of 0.35 or more)\n" in text
    assert "notes: 12 low_resolution, 3 greyscale\narchive: 512 bytes follow the end.\n" in text
    assert re.search(r"nv 30 71\.4 % █+▏? *\n ?mel 12 28\.6 %", text)
    assert "a[bold].jpg 0.800 mel 0.771 flagged" in text
    assert "truncated 2 x.jpg: ends too early" in text
    assert re.search(r"not_an_image 1 *\n", text)
    assert text.rstrip().endswith("Research use only, not a diagnosis. Model: starter version 1.")
    assert [seen.query for seen in server.seen] == [
        {},
        {"sort": "-risk", "limit": "10"},
        {"code": "truncated", "limit": "1"},
        {"code": "not_an_image", "limit": "1"},
    ]


def test_a_failed_job_says_why(server: LaidOutServer, job: dict[str, Any]) -> None:
    counts = {"total": None, "succeeded": 0, "failed": 0, "skipped": 0, "remaining": None}
    error = {"code": "unreadable_archive", "message": "no ZIP at all"}
    failed = {**job, "state": "failed", "counts": counts, "labels": {}, "errors": {}, "error": error, "version": None}
    text = render(server, failed)
    assert "no ZIP at all (unreadable_archive)" in text
    assert "Model: starter (stable)." in text
    assert server.seen == []


def test_following_ends_with_the_job(server: LaidOutServer, job: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    path = f"/v1/jobs/{job['id']}"
    counts = {"total": 45, "succeeded": 10, "failed": 1, "skipped": 0, "remaining": 34}
    queued = {**job, "state": "queued", "counts": {**counts, "total": None}, "waiting_for": "broker"}
    running = {**job, "state": "running", "counts": counts, "eta_s": 12.4}
    server.lay("GET", path, Answer(running), Answer({"detail": "away"}, 503, {"Retry-After": "0"}), Answer(job))
    with Client(server.url, attempts=1) as client:
        assert follow(client, JobView(queued), LineView()).raw == job
    assert capsys.readouterr().err.splitlines() == [
        "lesions.zip: queued, waiting for broker",
        "lesions.zip: classifying: 11 of 45, 1 failed, 205 images/s, 12 s left",
        "the server does not answer; asking again",
        "lesions.zip: succeeded: 45 of 45, 3 failed",
    ]


def test_a_job_that_is_gone_ends_the_following(server: LaidOutServer, job: dict[str, Any]) -> None:
    with Client(server.url) as client, pytest.raises(CliError) as caught:
        follow(client, JobView({**job, "state": "running"}), LineView())
    assert caught.value.code == ExitCode.NOT_FOUND


def test_states_and_exit_codes(job: dict[str, Any]) -> None:
    assert describe_state(JobView({**job, "state": "preparing"})) == "reading the archive"
    assert exit_code(JobView(job)) == ExitCode.OK
    assert exit_code(JobView(job), strict=True) == ExitCode.FAILED_ITEMS
    assert exit_code(JobView({**job, "state": "cancelled"})) == ExitCode.JOB_FAILED
    assert exit_code(JobView({**job, "state": "failed"}), strict=True) == ExitCode.JOB_FAILED
