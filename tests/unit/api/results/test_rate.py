"""Images per second and the time that is left: of the present run, and only where there is something to measure."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from api.results.views import job_object
from core.db.jobs import Tallies
from core.db.models import Job

BEGAN = datetime(2026, 11, 25, 12, tzinfo=UTC)


def job(**values: object) -> Job:
    fields = {
        "id": uuid.UUID(int=1),
        "name": "a.zip",
        "model": "tiny",
        "state": "running",
        "revision": 1,
        "created_at": BEGAN,
        "running_at": BEGAN,
        "total": 1000,
        "succeeded": 0,
        "failed": 0,
        "skipped": 0,
        "remaining": 0,
    }
    return Job(**{**fields, **values})


@pytest.mark.parametrize(
    ("values", "rate", "eta"),
    [
        ({}, None, None),
        ({"succeeded": 190, "failed": 10, "remaining": 800, "progress_at": BEGAN + timedelta(seconds=10)}, 20.0, 40.0),
        # one image again after 999 others: it took two seconds
        ({"succeeded": 1000, "done_before": 999, "progress_at": BEGAN + timedelta(seconds=2)}, 0.5, 0.0),
        # a retry that has no outcome yet: the last one is from before
        ({"succeeded": 999, "done_before": 999, "remaining": 1, "progress_at": BEGAN - timedelta(seconds=60)}, None, None),
        # an instant says nothing
        ({"total": 1, "succeeded": 1, "progress_at": BEGAN + timedelta(seconds=0.002)}, None, None),
        ({"total": 20, "succeeded": 20, "progress_at": BEGAN + timedelta(seconds=0.5)}, 40.0, 0.0),
    ],
    ids=["nothing_done", "half_way", "one_again", "again_nothing_done", "an_instant", "half_a_second"],
)
def test_rate_and_time_left(values: dict[str, object], rate: float | None, eta: float | None) -> None:
    shown = job_object(job(**values), Tallies({}, {}, {}), "http://x")
    assert (shown.images_per_s, shown.eta_s) == (rate, eta)
