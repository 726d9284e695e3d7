"""Drift of a version: its index in the API, in Prometheus' page and on the page of models."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import update

from api.drift import DriftFigures
from core.db.engine import transaction
from core.db.models import Job
from core.telemetry.metrics import render
from tests.integration.api.conftest import SPEC, Api, scored

REFERENCE = {
    "images": 2005,
    "classes": [0.25, 0.25, 0.25, 0.25],
    "risk": {"edges": [0.2, 0.6], "shares": [0.5, 0.25, 0.25]},
    "novelty": None,
}
ROWS = [(0.9, 0.0, 0.0, 0.1), (0.1, 0.8, 0.1, 0.0), (0.0, 0.0, 0.1, 0.9), (0.0, 0.0, 0.3, 0.7)]  # akiec, bcc, nv, nv


def run_with_reference(api: Api, items: int, version: int = 3) -> None:
    job = api.submit()
    api.start(job, items=items)
    with transaction(api.engine) as session:
        session.execute(update(Job).where(Job.id == job).values(version=version, modelspec={**SPEC, "reference": REFERENCE}))
    api.finish(job, 0, lambda number: scored(number, ROWS[number % 4]))


def test_the_index_of_a_version(any_api: Api) -> None:
    run_with_reference(any_api, 400)
    [found] = any_api.client.get("/v1/models/tiny/drift").json()["data"]
    assert (found["model"], found["version"], found["jobs"], found["images"]) == ("tiny", 3, 1, 400)
    assert (found["reference_images"], found["novelty"]) == (2005, None)
    assert [(share["name"], share["seen"]) for share in found["class_shares"]] == [
        ("akiec", 0.25),
        ("bcc", 0.25),
        ("mel", 0.0),
        ("nv", 0.5),
    ]
    assert found["classes"] == pytest.approx((0.5 - 0.25) * 0.6931472 + (1e-4 - 0.25) * -7.8240460, rel=1e-5)
    assert found["risk"] == pytest.approx((0.25 - 0.5) * -0.6931472 + (0.5 - 0.25) * 0.6931472, rel=1e-5)
    assert found["level"] == "shifted"
    assert any_api.client.get("/v1/models/another/drift").json()["data"] == []


def test_prometheus_is_told_and_the_rows_are_not_counted_at_each_scrape(any_api: Api) -> None:
    figures, now = DriftFigures(), any_api.clock.now()
    run_with_reference(any_api, 4)
    first = render(figures.read(any_api.engine, now)).decode()
    assert 'dermq_model_drift{model="tiny",of="risk",version="3"} 0.34657' in first
    assert 'of="novelty"' not in first
    assert images_in(first) == 4
    run_with_reference(any_api, 4)
    assert images_in(render(figures.read(any_api.engine, now + timedelta(minutes=4))).decode()) == 4
    assert images_in(render(figures.read(any_api.engine, now + timedelta(minutes=6))).decode()) == 8


def images_in(page: str) -> float:
    [line] = [line for line in page.splitlines() if line.startswith('dermq_model_drift_images{model="tiny",version="3"}')]
    return float(line.split()[-1])


def test_the_metrics_page_has_them(api: Api) -> None:
    assert "# TYPE dermq_model_drift gauge" in api.client.get("/metrics").text


def test_a_version_without_a_reference_is_not_listed(api: Api) -> None:
    api.run(4, lambda number: scored(number, ROWS[number]))
    assert api.client.get("/v1/models/tiny/drift").json()["data"] == []
