"""Whoever submits hears of a long queue."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from core.db.engine import transaction
from core.db.models import Chunk
from tests.integration.api.conftest import Api, make_settings, running_api, scored


def test_a_queue_of_more_than_a_day_is_told(tmp_path: Path) -> None:
    with running_api(make_settings(tmp_path)) as api:
        check_long_queue(api)


def check_long_queue(api: Api) -> None:
    job = api.submit()
    api.start(job, items=2010, chunk_items=10)
    api.finish(job, 0, lambda number: scored(number, [0.1, 0.2, 0.3, 0.4]))

    def submitted(item_s: float) -> dict[str, Any]:
        """The answer, where one process takes so long for an item."""
        with transaction(api.engine) as session:
            chunk = session.get_one(Chunk, (job, 0))
            assert chunk.finished_at is not None
            chunk.started_at = chunk.finished_at - timedelta(seconds=10 * item_s)
        answer: dict[str, Any] = api.client.post("/v1/jobs", content=b"x").raise_for_status().json()
        return answer

    assert submitted(item_s=1.0)["queue_s"] is None
    assert "queue is long" not in api.client.get("/", headers={"Accept": "text/html"}).text
    answer = submitted(item_s=100.0)
    unlisted = 2 * api.settings.worker.chunk_items
    assert answer["queue_s"] == pytest.approx(100.0 * (2000 + unlisted))
    assert api.client.get(f"/v1/jobs/{answer['id']}").json()["queue_s"] is None, "it is said once"
    hours = round(answer["queue_s"]) // 3600
    page = api.client.get("/", headers={"Accept": "text/html"}).text
    assert f"The queue is long: about {hours} h" in page
