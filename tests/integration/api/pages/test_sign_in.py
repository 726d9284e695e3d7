"""Signing in and out in a real browser, on a server that asks for keys."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

from core.access.scopes import Scope
from core.settings import ApiSettings
from tests.integration.api.conftest import Api, make_settings, running_api, scored
from tests.integration.api.pages.conftest import check_accessibility
from tests.support.keyed import Keys
from tests.support.servers import free_port


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    settings = ApiSettings(port=free_port(), watch_interval_s=0, require_keys=True)
    with running_api(make_settings(tmp_path_factory.mktemp("signin"), api=settings)) as running:
        yield running


def test_a_reader_signs_in_sees_its_own_jobs_and_signs_out(api: Api, page: Page) -> None:
    keys = Keys(api.engine)
    token = keys.make("north", [Scope.READ])
    own = api.run(2, lambda number: scored(number, (0.1, 0.2, 0.3, 0.4)), tenant_id=keys.tenant("north"), name="own.zip")
    api.submit(tenant_id=keys.tenant("south"), name="foreign.zip")
    page.goto(f"{api.url}/jobs/{own}")
    assert page.url.startswith(f"{api.url}/sign-in?next=")
    check_accessibility(page)
    page.get_by_label("API key").fill("dq_live_wrong")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("alert").get_by_text("unknown, revoked or expired").wait_for()
    page.get_by_label("API key").fill(token)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{api.url}/jobs/{own}")
    page.get_by_role("heading", name="own.zip").wait_for()
    assert page.evaluate("document.cookie") == ""
    [cookie] = page.context.cookies()
    assert (cookie["name"], cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == ("__Host-dermq", True, True, "Strict")
    page.goto(f"{api.url}/jobs")
    page.get_by_text("own.zip").first.wait_for()
    assert page.get_by_text("foreign.zip").count() == 0
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(f"{api.url}/sign-in")
    assert page.context.cookies() == []
    page.goto(f"{api.url}/jobs")
    assert page.url.startswith(f"{api.url}/sign-in?next=")
