"""Every route, with a key of another tenant, without a key, and with a key of the wrong scope.

The routes are those of the application, with those that the OpenAPI document leaves out: a new route is walked by itself.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import httpx2
import pytest
from fastapi.routing import APIRoute

from api.access.authentication import is_open
from api.access.policy import PUBLIC, needed_scope
from api.app import ROUTERS, create_app
from core.access.scopes import Scope
from core.db.engine import reading, transaction
from core.db.lifecycle import delete_job
from core.db.models import GONE_TENANT_ID, Job
from core.db.uploads.partial import begin_upload
from core.settings import ApiSettings, Settings
from tests.integration.api.conftest import Api, make_settings, problem, running_api, scored
from tests.support.keyed import Keys, bearer, client_of
from tests.support.servers import free_port

ROUTES = sorted(
    {
        (method, route.path)
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute)
        for method in route.methods
    }
)
PROTECTED = [(method, path) for method, path in ROUTES if path not in PUBLIC]
WITH_ID = [(method, path) for method, path in PROTECTED if "{job_id}" in path]
WITH_UPLOAD = [(method, path) for method, path in PROTECTED if "{upload_id}" in path]
WEBHOOK = {"webhook_id": uuid.UUID(int=1), "delivery_id": uuid.UUID(int=2)}
# What routes cannot be asked without.
QUERIES = {
    "/v1/jobs/{job_id}/thumbnails": "?item=0",
    "/v1/jobs/{job_id}/groups": "?by=patient_id",
    "/v1/jobs/{job_id}/matches": "?name=a",
}
DECISION = {"verdict": "agree", "revision": 0, "reviewer": "r"}
BODIES: dict[str, Any] = {
    "/v1/jobs/{job_id}/items/{item_no}/decision": DECISION,
    "/v1/jobs/{job_id}/decisions": {"decisions": [{"item": 0, **DECISION}]},
    "/v1/jobs/{job_id}/reviewers": {"reviewer": "r"},
    "/v1/jobs/{job_id}/tags": {"tags": ["a"]},
}


def name_of(route: tuple[str, str]) -> str:
    return " ".join(route)


@dataclass(eq=False)
class Shared:
    """A server that asks for keys; a job of `north`; keys by tenant and scope."""

    api: Api
    keys: Keys
    job_id: uuid.UUID
    north: str
    south: str

    def call(
        self,
        method: str,
        path: str,
        token: str | None,
        *,
        job_id: uuid.UUID | None = None,
        upload_id: uuid.UUID | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx2.Response:
        values = {
            "job_id": job_id or self.job_id,
            "item_no": 0,
            "form": "csv",
            "code": "not_found",
            "name": "tiny",
            "upload_id": upload_id or uuid.UUID(int=5),
        }
        address = path.format(**values, filename="a.zip", tenant="north", key_id="x", **WEBHOOK)
        shown = bearer(token) if token else {}
        body = BODIES.get(path)
        return self.api.client.request(method, f"{address}{QUERIES.get(path, '')}", headers=shown | (headers or {}), json=body)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    settings = ApiSettings(port=free_port(), watch_interval_s=0, require_keys=True)
    with running_api(make_settings(tmp_path_factory.mktemp("keyed"), api=settings)) as api:
        keys = Keys(api.engine)
        north, south = keys.make("north"), keys.make("south")
        job_id = api.run(3, lambda number: scored(number, (0.1, 0.2, 0.3, 0.4)), tenant_id=keys.tenant("north"))
        yield Shared(api, keys, job_id, north, south)


@pytest.mark.parametrize("route", WITH_ID, ids=name_of)
def test_another_tenants_job_is_404(shared: Shared, route: tuple[str, str]) -> None:
    method, path = route
    foreign = shared.call(method, path, shared.south)
    unknown = shared.call(method, path, shared.south, job_id=uuid.uuid4())
    assert (foreign.status_code, unknown.status_code) == (404, 404), foreign.text
    assert shared.call("GET", "/v1/jobs/{job_id}", shared.north).json()["state"] == "succeeded"


@pytest.mark.parametrize("route", WITH_UPLOAD, ids=name_of)
def test_another_tenants_upload_is_404(shared: Shared, route: tuple[str, str]) -> None:
    with transaction(shared.api.engine) as session:
        upload_id = begin_upload(session, shared.keys.tenant("north"), 10, "a.zip", shared.api.clock.now()).id
    headers = {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    foreign = shared.call(*route, shared.south, upload_id=upload_id, headers=headers)
    problem(foreign, 404, "not_found")
    own = shared.call("GET", "/v1/uploads/{upload_id}", shared.north, upload_id=upload_id)
    assert (own.status_code, own.headers["upload-offset"]) == (200, "0")


@pytest.mark.parametrize("route", WITH_ID, ids=name_of)
def test_a_deleted_job_is_404_for_its_own_tenant_while_its_rows_go(shared: Shared, route: tuple[str, str]) -> None:
    job_id = deleted_job(shared)
    assert shared.call(*route, shared.north, job_id=job_id).status_code == 404
    with reading(shared.api.engine) as session:
        assert session.get_one(Job, job_id).tenant_id == GONE_TENANT_ID, "its rows are there"


@cache
def deleted_job(shared: Shared) -> uuid.UUID:
    tenant_id = shared.keys.tenant("north")
    job_id = shared.api.run(3, lambda number: scored(number, (0.1, 0.2, 0.3, 0.4)), tenant_id=tenant_id)
    with transaction(shared.api.engine) as session:
        delete_job(session, tenant_id, job_id, shared.api.clock.now())
    return job_id


@pytest.mark.parametrize("route", PROTECTED, ids=name_of)
def test_without_a_key_it_is_401(shared: Shared, route: tuple[str, str]) -> None:
    for token in (None, "nonsense", "dq_live_" + "0" * 49):
        refused = shared.call(*route, token)
        problem(refused, 401, "unauthenticated")
        assert refused.headers["www-authenticate"].startswith('Bearer realm="DermQ"')


@pytest.mark.parametrize("route", PROTECTED, ids=name_of)
def test_with_the_wrong_scope_it_is_403(shared: Shared, route: tuple[str, str]) -> None:
    needed = needed_scope(*route)
    others = [scope for scope in Scope if scope not in {needed, Scope.ADMIN}]
    refused = shared.call(*route, shared.keys.make("north", others))
    if "text/html" not in refused.headers["content-type"]:
        problem(refused, 403, "missing_scope")
    assert refused.status_code == 403
    assert f"the scope {needed}" in refused.text
    assert refused.headers.get("www-authenticate", "").endswith(f'error="insufficient_scope", scope="{needed}"')


def test_every_path_of_the_openapi_document_was_walked() -> None:
    document = create_app(Settings()).openapi()
    described = {(method.upper(), path) for path, operations in document["paths"].items() for method in operations}
    assert described <= set(ROUTES)
    assert set(WITH_UPLOAD) <= described
    assert len(WITH_UPLOAD) == 3
    for method, path in described:
        assert bool(document["paths"][path][method.lower()].get("security")) is (path not in PUBLIC), path
    assert len(WITH_ID) >= 20


def test_what_needs_no_key_is_the_same_for_both_guards() -> None:
    for _, path in ROUTES:
        assert is_open(path.replace("{name}", "x.css") if path.startswith("/static/") else path) is (path in PUBLIC), path
    assert not is_open("/static/../v1/jobs")


def test_what_is_no_route_needs_a_key_too(shared: Shared) -> None:
    for path in ("/openapi.json", "/v1/nothing", "/healthz/", "/static/a/b"):
        problem(shared.api.client.get(path), 401, "unauthenticated")
    assert shared.api.client.get("/openapi.json", headers=bearer(shared.north)).status_code == 200
    assert shared.api.client.get("/healthz").status_code == 200
    assert shared.api.client.get("/static/pages.css").status_code == 200


def test_a_route_that_changes_something_and_is_not_declared_is_refused() -> None:
    with pytest.raises(LookupError, match="does not say which scope POST /v1/new needs"):
        needed_scope("POST", "/v1/new")


def test_lists_show_only_ones_own(shared: Shared) -> None:
    def listed(token: str) -> set[str]:
        return {job["id"] for job in shared.api.client.get("/v1/jobs", headers=bearer(token)).json()["data"]}

    assert str(shared.job_id) in listed(shared.north)
    assert str(shared.job_id) not in listed(shared.south)
    page = shared.api.client.get("/jobs", headers=bearer(shared.south))
    assert str(shared.job_id) not in page.text


def test_the_same_idempotency_key_of_two_tenants_makes_two_jobs(shared: Shared) -> None:
    made = []
    for token in (shared.north, shared.south, shared.north):
        answer = shared.api.client.post(
            "/v1/jobs?name=a.zip", content=b"PK\x05\x06" + bytes(18), headers={**bearer(token), "Idempotency-Key": "one"}
        )
        assert answer.status_code == 202, answer.text
        made.append(answer.json()["id"])
    assert made[0] == made[2] != made[1]


def test_another_tenants_job_is_no_source(shared: Shared) -> None:
    for job_id in (shared.job_id, uuid.uuid4()):
        answer = shared.api.client.post("/v1/jobs", json={"source": f"job:{job_id}"}, headers=bearer(shared.south))
        problem(answer, 404, "not_found")


def test_an_admin_sees_no_foreign_jobs_either(shared: Shared) -> None:
    with client_of(shared.api.url, shared.keys.make("south", [Scope.ADMIN])) as admin:
        problem(admin.get(f"/v1/jobs/{shared.job_id}"), 404, "not_found")
        assert admin.get("/metrics").status_code == 200
