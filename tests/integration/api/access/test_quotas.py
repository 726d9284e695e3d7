"""A tenant's quotas and the audit of what its keys do, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import pytest

from core.access.scopes import Scope
from core.clock import SystemClock
from core.db.access.audit import list_audit
from core.db.access.tenants import find_tenant, limit_tenant
from core.db.engine import reading, transaction
from core.db.jobs import get_job
from core.settings import ApiSettings, DatabaseSettings
from tests.integration.api.conftest import Api, make_settings, problem, running_api, scored
from tests.support.keyed import OPERATOR, Keys, bearer
from tests.support.servers import free_port

ARCHIVE = b"PK\x05\x06" + bytes(18)


@pytest.fixture(params=["sqlite", "postgresql"])
def api(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Api]:
    url = "" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    settings = ApiSettings(port=free_port(), watch_interval_s=0, require_keys=True)
    with running_api(make_settings(tmp_path, database=DatabaseSettings(url=url), api=settings)) as running:
        yield running


@pytest.fixture
def keys(api: Api) -> Keys:
    return Keys(api.engine)


def limit(api: Api, **changes: Any) -> None:
    with transaction(api.engine) as session:
        limit_tenant(session, OPERATOR, find_tenant(session, "north"), changes, SystemClock().now())


def submit(api: Api, token: str, content: bytes = ARCHIVE, **headers: str) -> httpx2.Response:
    return api.client.post("/v1/jobs?name=a.zip", content=content, headers=bearer(token) | headers)


def refused(answer: httpx2.Response, quota: str, value: int) -> None:
    body = problem(answer, 429, "quota_exceeded")
    assert (body["quota"], body["limit"]) == (quota, value)
    assert int(answer.headers["retry-after"]) >= 1


def test_jobs_that_have_not_ended(api: Api, keys: Keys) -> None:
    north, south = keys.make("north"), keys.make("south")
    limit(api, max_jobs=2)
    first = submit(api, north, **{"Idempotency-Key": "one"}).json()
    assert submit(api, north).status_code == 202
    before = len(api.stored())
    refused(submit(api, north), "max_jobs", 2)
    assert len(api.stored()) == before
    assert submit(api, north, **{"Idempotency-Key": "one"}).json()["id"] == first["id"]
    assert submit(api, south).status_code == 202
    assert api.client.post(f"/v1/jobs/{first['id']}/cancel", headers=bearer(north)).status_code == 200
    assert submit(api, north).status_code == 202


def test_items_and_bytes_and_retention(api: Api, keys: Keys) -> None:
    north = keys.make("north")
    limit(api, max_items=5, retention_days=2)
    job_id = api.submit(tenant_id=keys.tenant("north"))
    assert submit(api, north).status_code == 202
    api.start(job_id, items=5)
    refused(submit(api, north), "max_items", 5)
    api.finish(job_id, 0, lambda number: scored(number, (0.1, 0.2, 0.3, 0.4)))
    limit(api, max_items=None, max_bytes=len(ARCHIVE) * 2)
    kept = submit(api, north)
    assert kept.status_code == 202
    refused(submit(api, north), "max_bytes", len(ARCHIVE) * 2)
    # Without an announced size it is found out when the bytes are there; nothing of them stays.
    before = len(api.stored())
    parts = iter([ARCHIVE])
    streamed = api.client.post("/v1/jobs?name=a.zip", content=parts, headers=bearer(north))
    refused(streamed, "max_bytes", len(ARCHIVE) * 2)
    assert len(api.stored()) == before
    with reading(api.engine) as session:
        job = get_job(session, keys.tenant("north"), UUID(kept.json()["id"]))
    assert job.retention_s == 172_800


def test_requests_in_a_minute(api: Api, keys: Keys) -> None:
    north, again, south = keys.make("north"), keys.make("north"), keys.make("south")
    limit(api, max_requests=4)
    statuses = [api.client.get("/v1/jobs", headers=bearer(token)).status_code for token in (north, again, north, again, north)]
    assert statuses == [200, 200, 200, 200, 429]
    refused(api.client.get("/v1/jobs", headers=bearer(again)), "max_requests", 4)
    assert api.client.get("/v1/jobs", headers=bearer(south)).status_code == 200


def test_the_audit_says_who_did_what_to_which_job(api: Api, keys: Keys) -> None:
    north = keys.make("north")
    reader = keys.make("north", [Scope.REVIEW])
    cancelled = submit(api, north).json()["id"]
    api.client.post(f"/v1/jobs/{cancelled}/cancel", headers=bearer(north))
    done = str(api.run(2, lambda number: scored(number, (0.1, 0.2, 0.3, 0.4)), tenant_id=keys.tenant("north")))
    decision = {"verdict": "agree", "revision": 0, "reviewer": "r", "note": "words of a reader"}
    saved = api.client.put(f"/v1/jobs/{done}/items/1/decision", json=decision, headers=bearer(reader))
    assert saved.status_code == 200, saved.text
    assert api.client.delete(f"/v1/jobs/{done}", headers=bearer(north)).status_code == 204
    with reading(api.engine) as session:
        events = [
            each for each in list_audit(session, tenant_id=keys.tenant("north")) if each.action.startswith(("job", "item"))
        ]
    assert [(each.action, each.object_id) for each in events] == [
        ("job.submit", cancelled),
        ("job.cancel", cancelled),
        ("item.decide", done),
        ("job.delete", done),
    ]
    assert all(each.key_id is not None and each.actor == "a key of north" for each in events)
    assert events[3].detail == {"succeeded": 2, "failed": 0, "objects": 1}
    assert not any("words of a reader" in str(each.detail) or "a.zip" in str(each.detail) for each in events)
