"""The page of administration in a real browser, on a server that asks for keys."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from playwright.sync_api import Locator, Page

from core.access.scopes import Scope
from core.clock import SystemClock
from core.db.engine import transaction
from core.db.lifecycle import request_cancel
from core.db.processes import note_alive
from core.settings import ApiSettings, EgressSettings, WorkerSettings
from tests.integration.api.conftest import Api, make_settings, running_api
from tests.integration.api.pages.conftest import check_accessibility
from tests.support.keyed import Keys, bearer
from tests.support.servers import free_port


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    settings = ApiSettings(port=free_port(), watch_interval_s=0, require_keys=True)
    folder = tmp_path_factory.mktemp("adminpage")
    with running_api(make_settings(folder, api=settings, egress=EgressSettings(networks=("127.0.0.0/8",)))) as running:
        yield running


def sign_in(api: Api, page: Page, token: str) -> None:
    page.goto(f"{api.url}/admin")
    page.get_by_label("API key").fill(token)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_load_state()


def status(api: Api, token: str) -> int:
    return api.client.get("/v1/jobs", headers=bearer(token)).status_code


def section(page: Page, name: str) -> Locator:
    return page.locator("section", has=page.get_by_role("heading", name=name))


def shown_secret(page: Page) -> str:
    secret = page.get_by_label("This is shown only now").input_value()
    page.get_by_role("link", name="Back to administration").click()
    page.get_by_role("heading", name="Administration").wait_for()
    assert secret not in page.content()
    return secret


def test_tenants_keys_webhooks_and_the_audit_by_forms(api: Api, page: Page) -> None:
    keys = Keys(api.engine)
    sign_in(api, page, keys.make("default", [Scope.ADMIN]))
    page.get_by_role("link", name="Admin").wait_for()
    tenants, made_keys, hooks = (section(page, name) for name in ("Tenants", "Keys", "Webhooks"))
    tenants.get_by_label("Name").fill("north")
    tenants.get_by_role("button", name="Make a tenant").click()
    north = tenants.locator("details", has_text="north")
    north.locator("summary").click()
    north.get_by_label("max jobs").fill("7")
    north.get_by_role("button", name="Save the limits of north").click()
    page.wait_for_load_state()
    limits = api.client.get("/v1/admin/tenants/north", headers=bearer(keys.make("default", [Scope.ADMIN]))).json()
    assert (limits["max_jobs"], limits["max_items"], limits["weight"]) == (7, None, 1)

    made_keys.get_by_label("Name").fill("ward 3")
    made_keys.get_by_label("Tenant").select_option("north")
    made_keys.get_by_role("button", name="Make a key").click()
    token = shown_secret(page)
    assert status(api, token) == 200
    made_keys.get_by_role("button", name="Rotate ward 3").click()
    successor = shown_secret(page)
    assert (status(api, token), status(api, successor)) == (401, 200)

    hooks.get_by_label("Address").fill("http://127.0.0.1:9/dermq")
    hooks.get_by_label("Tenant").select_option("north")
    hooks.get_by_label("job.cancelled").check()
    hooks.get_by_role("button", name="Make a webhook").click()
    assert shown_secret(page).startswith("whsec_")
    tenant_id = api.client.get("/v1/admin/tenants/north", headers=bearer(keys.make("default", [Scope.ADMIN]))).json()["id"]
    keys.tenants["north"] = UUID(tenant_id)
    job_id = api.submit(tenant_id=keys.tenant("north"))
    with transaction(api.engine) as session:
        request_cancel(session, keys.tenant("north"), job_id, SystemClock().now())
    page.reload()
    hook = hooks.locator("details", has_text="127.0.0.1:9")
    hook.locator("summary").click()
    hook.get_by_text("job.cancelled: pending").wait_for()
    check_accessibility(page)
    page.set_viewport_size({"width": 1280, "height": 800})
    hook.get_by_role("button", name="Replay").click()
    hook.locator("summary").click()
    hook.get_by_role("button", name="Delete http://127.0.0.1:9/dermq").click()
    hooks.get_by_text("None.").wait_for()

    made_keys.get_by_role("button", name="Revoke ward 3").click()
    page.wait_for_load_state()
    assert status(api, successor) == 401
    north.locator("summary").click()
    north.get_by_role("button", name="Suspend north").click()
    tenants.get_by_text("suspended").wait_for()
    audit = section(page, "Audit").inner_text()
    for action in (
        "tenant.create",
        "tenant.update",
        "key.create",
        "key.rotate",
        "webhook.create",
        "key.revoke",
        "tenant.suspend",
    ):
        assert action in audit
    assert "dq_live_" not in audit


def test_workers_count_as_long_as_a_lease_lasts(tmp_path: Path) -> None:
    with running_api(make_settings(tmp_path, worker=WorkerSettings(lease_s=300.0))) as slow:
        with transaction(slow.engine) as session:
            for age in (1, 100, 400):
                note_alive(session, f"worker-{age}", slow.clock.now() - timedelta(seconds=age))
        shown = re.findall(r'Worker processes</dt><dd><data class="number" value="(\d+)">', slow.client.get("/admin").text)
        assert shown == ["2"]


def test_other_keys_see_a_page_that_says_what_is_missing(api: Api, page: Page) -> None:
    sign_in(api, page, Keys(api.engine).make("south"))
    page.get_by_text("this needs a key with the scope admin").wait_for()
    assert page.get_by_role("link", name="Admin").count() == 0


def test_a_form_of_another_site_changes_nothing(api: Api) -> None:
    admin = Keys(api.engine).make("default", [Scope.ADMIN])
    signed_in = api.client.post("/sign-in", data={"key": admin}, headers={"Origin": api.url})
    cookie = {"Cookie": signed_in.headers["set-cookie"].partition(";")[0]}
    own, foreign = {"Origin": api.url}, {"Origin": "https://evil.example"}
    for evidence in (foreign, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {}):
        answer = api.client.post("/admin/tenants", data={"name": "evil"}, headers=cookie | evidence)
        assert answer.status_code in (401, 403), evidence
    assert api.client.post("/admin/tenants", data={"name": "good"}, headers=cookie | own).status_code == 303
    names = {each["name"] for each in api.client.get("/v1/admin/tenants", headers=bearer(admin)).json()["data"]}
    assert "evil" not in names
    assert "good" in names
