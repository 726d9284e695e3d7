"""Debian's Chromium, driven by Playwright; it must not complain about what a page does."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

PROGRAMS = ("chromium", "google-chrome")  # Debian's; what GitHub's Ubuntu has
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One browser process for all tests."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip("Chromium is not installed (Debian: apt-get install chromium)")
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=sandbox)
        yield running
        running.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A tab of its own, in English and UTC. A message of an error, a policy's violation among them, fails the test."""
    context = browser.new_context(
        locale="en-GB", timezone_id="UTC", reduced_motion="reduce", viewport={"width": 1280, "height": 800}
    )
    context.set_default_timeout(60_000)  # the machines are shared
    tab = context.new_page()
    complaints: list[str] = []
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on("console", lambda message: complaints.append(message.text) if is_complaint(message) else None)
    yield tab
    context.close()
    assert complaints == []


def is_complaint(message: Any) -> bool:
    """A refused request is what a test may have asked for; all else is a fault of the page."""
    return message.type == "error" and "Failed to load resource" not in message.text


def check_accessibility(page: Page) -> None:
    """No violation of WCAG 2.2 AA that axe can find, in light and dark, on a screen and on a phone."""
    for scheme, width in (("light", 1280), ("dark", 390)):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.set_viewport_size({"width": width, "height": 800})
        page.wait_for_function("dark => matchMedia('(prefers-color-scheme: dark)').matches === dark", arg=scheme == "dark")
        found = Axe().run(page, options={"runOnly": _RULES})
        assert found.violations_count == 0, f"{scheme} at {width} px: {found.generate_report()}"
        assert page.evaluate("document.documentElement.scrollWidth") <= width
