"""Sign-in of the pages: a key once, then a cookie; and keys as they end while the server runs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import httpx2
import pytest

from api.access.sessions import COOKIE
from core.access.scopes import Scope
from core.clock import SystemClock
from core.db.access.audit import list_audit
from core.db.access.keys import find_key, list_keys, revoke_key
from core.db.access.sessions import find_session_key
from core.db.access.tenants import find_tenant, resume_tenant, suspend_tenant
from core.db.engine import reading, transaction
from core.settings import ApiSettings
from tests.integration.api.conftest import Api, make_settings, problem, running_api
from tests.support.keyed import OPERATOR, Keys, bearer, client_of
from tests.support.servers import free_port

HTML = {"Accept": "text/html,*/*"}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    settings = ApiSettings(port=free_port(), metrics_port=free_port(), watch_interval_s=0, require_keys=True)
    with running_api(make_settings(tmp_path_factory.mktemp("sessions"), api=settings)) as running:
        yield running


@pytest.fixture(scope="module")
def keys(api: Api) -> Keys:
    return Keys(api.engine)


def sign_in(api: Api, token: str, target: str = "/jobs") -> httpx2.Response:
    return api.client.post("/sign-in", data={"key": token, "next": target}, headers={"Origin": api.url})


def cookie_of(answer: httpx2.Response) -> dict[str, str]:
    """As a browser sends it back; httpx sends no Secure cookies over http."""
    return {"Cookie": f"{COOKIE}={answer.headers['set-cookie'].partition(';')[0].partition('=')[2]}"}


def test_a_browser_without_a_session_is_led_to_the_sign_in_page(api: Api) -> None:
    answer = api.client.get("/jobs?state=failed", headers=HTML)
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=%2Fjobs%3Fstate%3Dfailed")
    page = api.client.get(answer.headers["location"])
    assert page.status_code == 200
    assert 'value="/jobs?state=failed"' in page.text
    problem(api.client.get("/v1/jobs", headers=HTML), 401, "unauthenticated")


def test_a_key_is_shown_once_and_a_strict_cookie_takes_its_place(api: Api, keys: Keys) -> None:
    token = keys.make("north")
    answer = sign_in(api, token)
    assert (answer.status_code, answer.headers["location"]) == (303, "/jobs")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-dermq=")
    attributes = {each.strip().lower() for each in cookie.split(";")[1:]}
    assert {"secure", "httponly", "path=/", "samesite=strict", "max-age=28800"} <= attributes
    assert not any(each.startswith("domain") for each in attributes)
    assert token not in str(answer.headers)
    page = api.client.get("/jobs", headers=HTML | cookie_of(answer))
    assert page.status_code == 200
    assert "Sign out" in page.text
    assert api.client.get("/v1/jobs", headers=cookie_of(answer)).status_code == 200


def test_a_wrong_key_opens_nothing(api: Api) -> None:
    answer = sign_in(api, "dq_live_wrong")
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    assert "unknown, revoked or expired" in answer.text
    assert "dq_live_wrong" not in answer.text
    assert sign_in(api, "x" * 10_000).status_code == 413


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example", "/\\evil.example", "", "javascript:alert(1)", "/\nx"]
)
def test_sign_in_leads_to_this_server_only(api: Api, keys: Keys, target: str) -> None:
    assert sign_in(api, keys.make("north"), target).headers["location"] == "/"


def test_a_session_changes_something_only_from_a_page_of_this_server(api: Api, keys: Keys) -> None:
    cookie = cookie_of(sign_in(api, keys.make("north")))
    archive = b"PK\x05\x06" + bytes(18)
    problem(api.client.post("/v1/jobs", content=archive, headers=cookie), 401, "unauthenticated")
    foreign = cookie | {"Origin": "https://evil.example"}
    problem(api.client.post("/v1/jobs", content=archive, headers=foreign), 403, "cross_site")
    assert api.client.post("/v1/jobs", content=archive, headers=cookie | {"Origin": api.url}).status_code == 202


def test_signing_out_ends_the_session_for_everybody_who_has_the_cookie(api: Api, keys: Keys) -> None:
    cookie = cookie_of(sign_in(api, keys.make("north")))
    answer = api.client.post("/sign-out", headers=cookie | {"Origin": api.url})
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    assert "max-age=0" in answer.headers["set-cookie"].lower()
    problem(api.client.get("/v1/jobs", headers=cookie), 401, "unauthenticated")
    with reading(api.engine) as session:
        actions = [each.action for each in list_audit(session)]
    assert actions[-2:] == ["session.sign_in", "session.sign_out"]


def test_a_revoked_key_and_a_suspended_tenant_end_requests_and_sessions_at_once(api: Api, keys: Keys) -> None:
    token = keys.make("east")
    shown = [bearer(token), cookie_of(sign_in(api, token))]

    def statuses() -> list[int]:
        return [api.client.get("/v1/jobs", headers=headers).status_code for headers in shown]

    now = SystemClock().now()
    assert statuses() == [200, 200]
    with transaction(api.engine) as session:
        suspend_tenant(session, OPERATOR, find_tenant(session, "east"), now)
    assert statuses() == [401, 401]
    with transaction(api.engine) as session:
        resume_tenant(session, OPERATOR, find_tenant(session, "east"), now)
    assert statuses() == [200, 200]
    with transaction(api.engine) as session:
        key = find_key(session, token, now)
        assert key is not None
        revoke_key(session, OPERATOR, key, now)
    assert statuses() == [401, 401]


def test_a_session_ends_after_its_hours(api: Api, keys: Keys) -> None:
    value = cookie_of(sign_in(api, keys.make("north")))["Cookie"].partition("=")[2]
    now = SystemClock().now()
    with reading(api.engine) as session:
        assert find_session_key(session, value, now) is not None
        assert find_session_key(session, value, now + timedelta(hours=8)) is None


def test_the_last_use_is_recorded(api: Api, keys: Keys) -> None:
    token = keys.make("west")
    for _ in range(3):
        api.client.get("/v1/jobs", headers=bearer(token))
    with reading(api.engine) as session:
        [used] = [key.last_used_at for key, tenant in list_keys(session) if tenant == "west"]
    assert used is not None
    assert SystemClock().now() - used < timedelta(minutes=1)


def test_a_review_key_decides_and_submits_nothing(api: Api, keys: Keys) -> None:
    headers = bearer(keys.make("north", [Scope.REVIEW, Scope.READ]))
    refused = problem(api.client.post("/v1/jobs", content=b"x", headers=headers), 403, "missing_scope")
    assert refused["detail"] == "this needs a key with the scope submit; the key 'a key of north' has read, review"


def test_prometheus_has_a_page_of_its_own(api: Api) -> None:
    page = httpx2.get(f"http://127.0.0.1:{api.settings.api.metrics_port}/metrics", timeout=20)
    assert page.status_code == 200
    assert "dermq_http_requests_total" in page.text
    problem(api.client.get("/metrics"), 401, "unauthenticated")


def test_without_keys_a_key_that_is_shown_counts_and_a_wrong_one_is_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    with running_api(make_settings(tmp_path_factory.mktemp("open"))) as loopback:
        token = Keys(loopback.engine).make("north", [Scope.READ])
        assert loopback.client.get("/v1/jobs").status_code == 200
        assert loopback.client.get("/v1/jobs", headers={"Authorization": "Bearer of-a-proxy"}).status_code == 200
        assert loopback.client.get("/v1/jobs", headers=bearer(token)).status_code == 200
        problem(loopback.client.post("/v1/jobs", content=b"x", headers=bearer(token)), 403, "missing_scope")
        problem(loopback.client.get("/v1/jobs", headers=bearer(token[:-1] + "!")), 401, "unauthenticated")
        assert loopback.client.get("/sign-in").headers["location"] == "/"
        assert "Sign out" not in loopback.client.get("/jobs").text


def test_a_stream_of_events_ends_with_its_key(api: Api, keys: Keys) -> None:
    token = keys.make("north")
    job = api.submit(tenant_id=keys.tenant("north"))
    with client_of(api.url, token) as client, client.stream("GET", f"/v1/jobs/{job}/events") as answer:
        lines = answer.iter_lines()
        assert any(line.startswith("data:") for line in lines)
        with transaction(api.engine) as session:
            key = find_key(session, token, api.clock.now())
            assert key is not None
            revoke_key(session, OPERATOR, key, api.clock.now())
        assert [line for line in lines if line.startswith("data:")] == []  # it comes to its end
    assert api.client.get(f"/v1/jobs/{job}/events", headers=bearer(token)).status_code == 401
