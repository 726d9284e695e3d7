"""The list of jobs at every width."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from cli.http.jobview import JobView
from cli.output.jobtable import print_jobs

WAITS = "serving: 127.0.0.1:8500 does not answer: UNAVAILABLE: failed to connect to all addresses; start it"


def render(jobs: list[dict[str, Any]], width: int) -> list[str]:
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=True, color_system=None, markup=False, highlight=False)
    print_jobs(console, [JobView(job) for job in jobs])
    return out.getvalue().splitlines()


@pytest.fixture
def jobs(job: dict[str, Any]) -> list[dict[str, Any]]:
    """One that has ended, one that waits, one that runs."""
    counts = {"total": 12_345, "succeeded": 11_900, "failed": 12, "skipped": 0, "remaining": 433}
    long = "an archive with a name that is longer than any terminal is wide, and then some more of it.zip"
    waiting = {**job, "id": "019a9f3e-7c5f-7d2b-9a44-0c5b8f6e2d11", "state": "running", "waiting_for": WAITS, "counts": counts}
    return [job, waiting, {**job, "id": "019a9f3f-0000-7d2b-9a44-0c5b8f6e2d12", "state": "preparing", "name": long}]


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_a_job_is_one_line_and_names_itself(jobs: list[dict[str, Any]], width: int) -> None:
    lines = render(jobs, width)
    table, below = lines[: lines.index("")], lines[lines.index("") + 1 :]
    assert len(table) == 2 + len(jobs)
    assert max(map(len, table)) <= width
    shown = [line.split()[0] for line in table[2:]]
    assert all(str(job["id"]).startswith(name) for job, name in zip(jobs, shown, strict=True))
    assert len(set(shown)) == len(jobs)
    assert below == [f"{shown[1]} waits for {WAITS}"]


def test_what_there_is_room_for(jobs: list[dict[str, Any]]) -> None:
    heads = {width: render(jobs, width)[0].split() for width in (60, 80, 120)}
    assert heads[60] == ["Job", "Name", "State", "Items"]
    assert heads[80] == ["Job", "Name", "State", "Items", "Failed"]
    assert heads[120] == ["Job", "Name", "State", "Items", "Failed", "Submitted"]
    assert render(jobs, 120)[2].split()[0] == jobs[0]["id"]
    states = [line.split()[2] for line in render(jobs[:2], 80)[2:4]]
    assert states == ["succeeded", "waiting"]


def test_a_pipe_gets_whole_ids(jobs: list[dict[str, Any]]) -> None:
    out = io.StringIO()
    print_jobs(Console(file=out, width=40, markup=False, highlight=False), [JobView(job) for job in jobs])
    assert [line.split()[0] for line in out.getvalue().splitlines()[2:5]] == [job["id"] for job in jobs]


def test_a_list_without_waiting_jobs_ends_with_its_table(job: dict[str, Any]) -> None:
    assert len(render([job], 80)) == 3
