"""What the doctor says about the number of workers, from a page of the API."""

from __future__ import annotations

import pytest

from cli.doctor.capacity import check_capacity, check_left_over
from cli.doctor.findings import Grade
from tests.unit.cli.laid_out import Answer, LaidOutServer

PAGE = """# HELP dermq_workers_recommended Worker processes worth running.
dermq_workers_recommended {wanted}
dermq_chunks_running 2.0
dermq_items_pending 119744.0
dermq_items_in_flight 256.0
dermq_work_seconds_pending 2400.0
dermq_worker_time_share{{waiting_for="serving"}} 0.75
dermq_worker_time_share{{waiting_for="core"}} 0.1
dermq_bottleneck{{part="idle"}} 0.0
dermq_bottleneck{{part="{limit}"}} 1.0
"""


def page(wanted: float, limit: str) -> Answer:
    return Answer(PAGE.format(wanted=wanted, limit=limit).encode(), kind="text/plain")


def test_says_what_limits_and_what_helps(server: LaidOutServer) -> None:
    server.lay("GET", "/metrics", page(4.0, "workers"), page(2.0, "workers"), page(1.0, "serving"), page(3.0, "cores"))
    more = check_capacity(server.url)
    assert more is not None
    assert more.grade is Grade.WARN
    assert more.detail == (
        "4 worker processes are recommended, 2 at work; 120,000 images to do (40 min 00 s for one process); their own work is "
        "the limit"
    )
    assert "--scale worker" in more.advice
    enough, serving, cores = (check_capacity(server.url) for _ in range(3))
    assert enough is not None
    assert (enough.grade, enough.advice) == (Grade.OK, "")
    assert serving is not None
    assert "1 worker process is recommended" in serving.detail
    assert "wait for the model server 75% of the time" in serving.detail
    assert cores is not None
    assert "wait for a free core 10% of the time" in cores.detail


def test_idle_is_in_order(server: LaidOutServer) -> None:
    server.lay("GET", "/metrics", page(1.0, "idle"))
    found = check_capacity(server.url)
    assert found is not None
    assert (found.grade, found.advice) == (Grade.OK, "")


def test_a_server_that_hides_its_metrics_is_no_finding(server: LaidOutServer) -> None:
    assert check_capacity(server.url) is None
    server.lay("GET", "/metrics", Answer(b"<html>a proxy</html>", kind="text/html"))
    assert check_capacity(server.url) is None


@pytest.mark.parametrize(
    ("page", "grade", "words"),
    [
        ("dermq_storage_strays 0.0\ndermq_storage_tombstones 0.0\n", "ok", "belongs to a job"),
        ("dermq_storage_strays 2.0\ndermq_storage_tombstones 1.0\n", "warn", "2 places belong to no job, 1 are to be deleted"),
        (
            "dermq_storage_strays 0\ndermq_storage_tombstones 0\ndermq_deleted_jobs 3\n",
            "warn",
            "deleted jobs with rows in the ledger: 3",
        ),
        ("dermq_jobs 1.0\n", "warn", "does not tell of it"),
    ],
    ids=["nothing", "something", "deleted_jobs", "older_server"],
)
def test_what_the_storage_holds_beside_jobs(server: LaidOutServer, page: str, grade: str, words: str) -> None:
    server.lay("GET", "/metrics", Answer(page.encode(), kind="text/plain"))
    finding = check_left_over(server.url)
    assert (finding.name, finding.grade.value) == ("storage", grade)
    assert words in finding.detail
