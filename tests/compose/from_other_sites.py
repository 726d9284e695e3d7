"""What pages of other sites cannot do to the stack of Compose in a signed-in reader's browser: a real browser, and real names.

Not one of the tests that `make test` collects, as its neighbour in_a_browser.py is not: `make compose` runs both.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, Response

from tests.compose.stack import ComposeStack

pytestmark = pytest.mark.timeout(1800)

POSTED = ("/v1/jobs?name=forged", "/admin/tenants", "/admin/keys", "/sign-out", "/sign-in")
SHOWN = ("/v1/jobs", "/v1/admin/tenants", "/v1/admin/keys")
_FETCH = """async (address) => {
  const post = { method: "POST", body: new URLSearchParams({ name: "forged", key: "forged" }), credentials: "include" };
  const told = [];
  for (const mode of ["no-cors", "cors"]) {
    told.push(await fetch(address, { ...post, mode }).then((answer) => answer.type, (error) => error.name));
  }
  return told;
}"""
_FORM = """(address) => {
  const form = Object.assign(document.createElement("form"), { method: "post", action: address });
  form.append(Object.assign(document.createElement("input"), { name: "name", value: "forged" }));
  document.body.append(form);
  form.submit();
}"""
_ASK = """([address, method]) => fetch(address, { method, credentials: "include" })
  .then((answer) => answer.text(), (error) => error.name)"""
_FRAME = (
    "(src) => new Promise((onload) => document.body.append(Object.assign(document.createElement('iframe'), { src, onload })))"
)
_OWN = """() => fetch("/v1/jobs?name=own", { method: "POST", body: new URLSearchParams({ name: "forged" }) })
  .then((answer) => answer.status)"""
_TELL = (
    "async ([path, method]) => { const answer = await fetch(path, { method }); return [answer.status, await answer.text()]; }"
)


@dataclass
class Attacker:
    """A page of another origin, open beside the reader's, and what the stack has answered it."""

    page: Page
    home: str
    gets_cookie: bool
    answers: list[Response] = field(default_factory=list)

    def go_home(self) -> None:
        self.page.goto(self.home)


@pytest.fixture(
    params=[("attacker.example", False), ("127.0.0.1", True)],
    ids=["another site, to which the cookie is not sent", "another port of this host, to which it is sent"],
)
def attacker(request: pytest.FixtureRequest, stack: ComposeStack, reader: BrowserContext, tmp_path: Path) -> Iterator[Attacker]:
    host, gets_cookie = request.param
    (tmp_path / "index.html").write_text("<!doctype html><title>another site</title>")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    found = Attacker(reader.new_page(), f"http://{host}:{server.server_port}/", gets_cookie)
    found.page.on("response", lambda answer: found.answers.append(answer) if answer.url.startswith(stack.url) else None)
    found.go_home()
    yield found
    found.page.close()
    server.shutdown()
    server.server_close()


def has_cookie(answer: Response) -> bool:
    return "__Host-dermq" in answer.request.all_headers().get("cookie", "")


def refused_posts(stack: ComposeStack) -> int:
    """How many POST requests the server has answered with 403, by its log."""
    return sum('"method": "POST"' in line and '"status": 403' in line for line in stack.compose("logs", "api").splitlines())


def seen_by(reader: Page) -> list[Any]:
    """All that the attacks are after, as the reader's own page sees it. The last use of a key changes by itself."""
    read = "path => fetch(path).then((answer) => answer.json())"
    found = [reader.evaluate(read, path) for path in SHOWN]
    for key in found[-1]["data"]:
        del key["last_used_at"]
    return found


def test_posts_of_another_origin_are_refused_and_change_nothing(stack: ComposeStack, attacker: Attacker, page: Page) -> None:
    page.goto(f"{stack.url}/jobs")
    before, refused = seen_by(page), refused_posts(stack)
    for path in POSTED:
        attacker.go_home()
        assert attacker.page.evaluate(_FETCH, stack.url + path) == ["TypeError", "TypeError"]  # sent; the answer is kept back
        with attacker.page.expect_navigation() as landed:
            attacker.page.evaluate(_FORM, stack.url + path)
        assert (landed.value.status, landed.value.json()["code"]) == (403, "cross_site")
    posted = [answer for answer in attacker.answers if answer.request.method == "POST"]
    assert len(posted) >= len(POSTED)
    assert refused_posts(stack) - refused == 3 * len(POSTED)  # all of them have reached the server
    assert {answer.status for answer in posted} == {403}
    assert {has_cookie(answer) for answer in posted} == {attacker.gets_cookie}
    assert seen_by(page) == before
    page.reload()
    assert page.url == f"{stack.url}/jobs"  # still signed in


def test_another_origin_reads_nothing_and_frames_nothing(stack: ComposeStack, attacker: Attacker) -> None:
    for method in ("GET", "PUT", "PATCH", "DELETE"):  # all but the first ask beforehand, and are not allowed
        assert attacker.page.evaluate(_ASK, [f"{stack.url}/v1/jobs", method]) == "TypeError"
    assert {answer.request.method for answer in attacker.answers} <= {"GET", "OPTIONS"}
    attacker.page.evaluate(_FRAME, f"{stack.url}/sign-in")
    assert "API key" not in attacker.page.frames[1].content()


def test_the_same_post_of_the_own_page_is_taken(stack: ComposeStack, page: Page) -> None:
    """Where it comes from is all that is wrong with the requests above."""
    page.goto(f"{stack.url}/jobs")
    assert page.evaluate(_OWN) == 202


def test_a_name_that_is_pointed_here_later_reads_nothing(stack: ComposeStack, reader: BrowserContext) -> None:
    """DNS rebinding: the page comes from the attacker's server; then its name leads to the published port."""
    page = reader.new_page()
    site = f"http://rebound.example:{stack.port}"
    page.route(f"{site}/", lambda route: route.fulfill(content_type="text/html", body="<!doctype html><title>harmless</title>"))
    page.goto(f"{site}/")
    page.unroute(f"{site}/")  # from here on the name leads to the stack
    assert page.evaluate(_TELL, ["/healthz", "GET"]) == [200, '{"status":"ok"}']  # it is reached, and shows this much
    for path, method in (
        ("/v1/jobs", "GET"),
        ("/v1/jobs", "POST"),
        ("/jobs", "GET"),
        ("/sign-in", "POST"),
        ("/v1/models", "GET"),
    ):
        with page.expect_response(f"{site}{path}") as answer:
            status, text = page.evaluate(_TELL, [path, method])
        assert (status, json.loads(text)["code"]) == (421, "unknown_host")
        assert not has_cookie(answer.value)
    shown = page.goto(f"{site}/jobs")
    assert shown is not None
    assert shown.status == 421
    page.close()
