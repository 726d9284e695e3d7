"""The stack of Compose, a browser for which all names below `.example` lead to this machine, and a page that is signed in."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.compose.stack import ComposeStack, running_compose
from tests.integration.api.pages.conftest import PROGRAMS, is_complaint

WAIT_MS = 60_000  # a model server under load takes its time; no test asserts one


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposeStack]:
    with running_compose(tmp_path_factory.mktemp("compose")) as running:
        yield running


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    assert program, "Chromium is not installed (Debian: apt-get install chromium)"
    arguments = ["--host-resolver-rules=MAP *.example 127.0.0.1"]  # as whoever owns a name may let it point anywhere
    # Newer browsers refuse by themselves what comes from outside and asks this machine; others are to be safe, too.
    arguments.append("--disable-features=LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests")
    if os.geteuid() == 0:
        arguments.append("--no-sandbox")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=arguments)
        yield running
        running.close()


@pytest.fixture(scope="session")
def reader(stack: ComposeStack, browser: Browser) -> Iterator[BrowserContext]:
    """A browser in which somebody has signed in with the first key."""
    context = browser.new_context(locale="en-GB", timezone_id="UTC", reduced_motion="reduce")
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    page.goto(f"{stack.url}/jobs")
    assert page.url == f"{stack.url}/sign-in?next=%2Fjobs"
    page.get_by_label("API key").fill(stack.first_key())
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{stack.url}/jobs")
    page.close()
    yield context
    context.close()


@pytest.fixture
def page(reader: BrowserContext) -> Iterator[Page]:
    """A tab of the reader's; a message of an error, a policy's violation among them, fails the test."""
    tab = reader.new_page()
    complaints: list[str] = []
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on("console", lambda message: complaints.append(message.text) if is_complaint(message) else None)
    yield tab
    tab.close()
    assert complaints == []
