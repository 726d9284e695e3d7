"""/v1/admin: tenants, keys and the audit over HTTP."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest

from core.access.scopes import Scope
from core.settings import ApiSettings
from tests.integration.api.conftest import Api, make_settings, problem, running_api
from tests.support.keyed import Keys, bearer, client_of
from tests.support.servers import free_port


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    settings = ApiSettings(port=free_port(), watch_interval_s=0, require_keys=True)
    with running_api(make_settings(tmp_path_factory.mktemp("admin"), api=settings)) as running:
        yield running


@pytest.fixture(scope="module")
def admin(api: Api) -> Iterator[httpx2.Client]:
    with client_of(api.url, Keys(api.engine).make("default", [Scope.ADMIN])) as client:
        yield client


def status(api: Api, token: str, path: str = "/v1/jobs") -> int:
    return api.client.get(path, headers=bearer(token)).status_code


def test_a_tenant_from_its_making_to_its_end(api: Api, admin: httpx2.Client) -> None:
    made = admin.post("/v1/admin/tenants", json={"name": "north", "max_jobs": 3})
    assert made.status_code == 201
    assert (made.json()["max_jobs"], made.json()["max_bytes"], made.json()["weight"]) == (3, None, 1)
    problem(admin.post("/v1/admin/tenants", json={"name": "north"}), 409, "conflict")
    problem(admin.post("/v1/admin/tenants", json={"name": "No"}), 422, "invalid_parameters")
    problem(admin.post("/v1/admin/tenants", json={"name": "n", "max_jobs": -1}), 422, "invalid_parameters")
    token = admin.post("/v1/admin/keys", json={"name": "n", "tenant": "north"}).json()["key"]
    assert status(api, token) == 200
    changed = admin.patch("/v1/admin/tenants/north", json={"suspended": True, "max_bytes": 10**12}).json()
    assert (changed["max_jobs"], changed["max_bytes"]) == (3, 10**12)
    assert changed["suspended_at"]
    assert status(api, token) == 401
    assert admin.patch("/v1/admin/tenants/north", json={"suspended": False}).json()["suspended_at"] is None
    assert status(api, token) == 200
    assert {each["name"] for each in admin.get("/v1/admin/tenants").json()["data"]} == {"default", "north"}
    assert admin.delete("/v1/admin/tenants/north").status_code == 204
    assert status(api, token) == 401
    problem(admin.get("/v1/admin/tenants/north"), 404, "not_found")
    problem(admin.delete("/v1/admin/tenants/default"), 409, "conflict")


def test_a_key_from_its_making_to_its_end(api: Api, admin: httpx2.Client) -> None:
    made = admin.post("/v1/admin/keys", json={"name": "ward 3", "scopes": ["read"], "expires_in_days": 30})
    assert (made.status_code, made.headers["cache-control"]) == (201, "no-store")
    first = made.json()
    assert status(api, first["key"]) == 200
    listed = admin.get("/v1/admin/keys", params={"tenant": "default"})
    assert first["key"] not in listed.text
    assert [each["state"] for each in listed.json()["data"] if each["id"] == first["id"]] == ["active"]
    second = admin.post(f"/v1/admin/keys/{first['id']}/rotate").json()
    assert (status(api, first["key"]), status(api, second["key"])) == (401, 200)
    third = admin.post(f"/v1/admin/keys/{second['id']}/rotate", json={"overlap_hours": 1}).json()
    assert (status(api, second["key"]), status(api, third["key"])) == (200, 200)
    assert admin.post(f"/v1/admin/keys/{third['id']}/revoke").json()["state"] == "revoked"
    assert status(api, third["key"]) == 401
    problem(admin.post("/v1/admin/keys", json={"name": "x", "scopes": ["write"]}), 422, "invalid_parameters")
    problem(admin.post("/v1/admin/keys", json={"name": "x", "tenant": "nobody"}), 404, "not_found")
    problem(admin.post("/v1/admin/keys/nonsense/revoke"), 404, "not_found")


def test_an_admin_cannot_lock_itself_out(admin: httpx2.Client) -> None:
    [own] = [each for each in admin.get("/v1/admin/keys").json()["data"] if each["scopes"] == ["admin"]]
    problem(admin.post(f"/v1/admin/keys/{own['id']}/revoke"), 409, "conflict")
    problem(admin.patch("/v1/admin/tenants/default", json={"suspended": True}), 409, "conflict")
    assert admin.get("/v1/admin/tenants").status_code == 200


def test_the_audit_in_pages(admin: httpx2.Client) -> None:
    admin.post("/v1/admin/tenants", json={"name": "south"})
    records, after = [], 0
    while after is not None:
        page = admin.get("/v1/admin/audit", params={"after": after, "limit": 3}).json()
        records += page["data"]
        after = page["next"]
    assert [each["id"] for each in records] == sorted({each["id"] for each in records})
    assert records[-1]["action"] == "tenant.create"
    assert [each["action"] for each in admin.get("/v1/admin/audit", params={"tenant": "south"}).json()["data"]] == [
        "tenant.create"
    ]
    assert "dq_live_" not in str(records)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", ["/v1/admin/tenants", "/v1/admin/keys"])
def test_other_keys_administer_nothing(api: Api, method: str, path: str) -> None:
    working = Keys(api.engine).make("default")
    problem(api.client.request(method, path, json={"name": "x"}, headers=bearer(working)), 403, "missing_scope")
