"""/v1/webhooks: made, seen, rotated, replayed and deleted by their tenant alone."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from core.access.scopes import Scope
from core.clock import SystemClock
from core.db.engine import transaction
from core.db.lifecycle import request_cancel
from core.settings import ApiSettings, EgressSettings
from tests.integration.api.conftest import Api, make_settings, problem, running_api
from tests.support.keyed import Keys, bearer
from tests.support.servers import free_port

URL = "http://127.0.0.1:9/dermq"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    settings = ApiSettings(port=free_port(), watch_interval_s=0, require_keys=True)
    folder = tmp_path_factory.mktemp("webhooks")
    with running_api(make_settings(folder, api=settings, egress=EgressSettings(networks=("127.0.0.0/8",)))) as running:
        yield running


def test_from_its_making_to_its_end(api: Api) -> None:
    keys = Keys(api.engine)
    north, south = bearer(keys.make("north")), bearer(keys.make("south"))
    answer = api.client.post("/v1/webhooks", json={"url": URL, "events": ["job.cancelled"]}, headers=north)
    assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
    made = answer.json()
    path = f"/v1/webhooks/{made['id']}"
    assert made["secret"].startswith("whsec_")
    shown = api.client.get(path, headers=north)
    assert (shown.json()["state"], shown.json()["events"]) == ("active", ["job.cancelled"])
    assert made["secret"] not in shown.text + api.client.get("/v1/webhooks", headers=north).text
    job_id = api.submit(tenant_id=keys.tenant("north"))
    with transaction(api.engine) as session:
        request_cancel(session, keys.tenant("north"), job_id, SystemClock().now())
    [delivery] = api.client.get(f"{path}/deliveries", headers=north).json()["data"]
    assert (delivery["event"], delivery["state"], delivery["payload"]["data"]["job"]) == (
        "job.cancelled",
        "pending",
        str(job_id),
    )
    replayed = api.client.post(f"{path}/deliveries/{delivery['id']}/replay", headers=north)
    assert (replayed.status_code, replayed.json()["id"]) == (202, delivery["id"])
    rotated = api.client.post(f"{path}/rotate", headers=north).json()
    assert rotated["secret"] not in ("", made["secret"])
    # Another tenant sees none of it, and it looks as if there were none.
    for method, each in (
        *(("GET", path), ("DELETE", path), ("POST", f"{path}/rotate"), ("GET", f"{path}/deliveries")),
        ("POST", f"{path}/deliveries/{delivery['id']}/replay"),
    ):
        problem(api.client.request(method, each, headers=south), 404, "not_found")
    assert api.client.get("/v1/webhooks", headers=south).json()["data"] == []
    problem(api.client.post("/v1/webhooks", json={"url": URL, "job": str(job_id)}, headers=south), 404, "not_found")
    assert api.client.delete(path, headers=north).status_code == 204
    problem(api.client.get(path, headers=north), 404, "not_found")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"url": "https://169.254.169.254/latest"}, "invalid_request"),
        ({"url": "https://[::1]/"}, "invalid_request"),
        ({"url": "https://no-such-host.invalid/"}, "invalid_request"),
        ({"url": "ftp://hooks.example/"}, "invalid_parameters"),
        ({"url": URL, "events": ["job.eaten"]}, "invalid_parameters"),
        ({"url": URL, "job": str(uuid.uuid4())}, "not_found"),
        ({}, "invalid_parameters"),
    ],
    ids=["metadata service", "loopback", "no such host", "no http", "no such event", "no such job", "nothing"],
)
def test_what_is_refused(api: Api, body: dict[str, object], code: str) -> None:
    answer = api.client.post("/v1/webhooks", json=body, headers=bearer(Keys(api.engine).make("default")))
    problem(answer, {"invalid_request": 400, "not_found": 404}.get(code, 422), code)
    assert "127.0.0.1" not in answer.text


def test_a_key_that_only_reads_makes_none(api: Api) -> None:
    reader = bearer(Keys(api.engine).make("default", [Scope.READ]))
    problem(api.client.post("/v1/webhooks", json={"url": URL}, headers=reader), 403, "missing_scope")
    assert api.client.get("/v1/webhooks", headers=reader).status_code == 200
