"""Behind a real nginx below a path: pages in a browser, the description of the API, uploads, and the Python client."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dermq import Client, parts
from tests.integration.api.conftest import Api, make_settings, running_api
from tests.integration.api.pages.conftest import Page
from tests.support.nginx import running_nginx
from tests.support.servers import free_port
from tests.support.stack import png, write_zip


@pytest.fixture(scope="module", params=["/", ""], ids=["path taken off", "path left"])
def below(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Api]]:
    """The public address, and the API behind it."""
    folder, port = tmp_path_factory.mktemp("below"), free_port()
    url = f"http://127.0.0.1:{port}/clinic/dermq"
    settings = make_settings(folder)
    settings = replace(settings, api=settings.api.model_copy(update={"public_url": url, "require_keys": False}))
    target = f"http://127.0.0.1:{settings.api.port}{request.param}"
    with running_api(settings) as api, running_nginx(folder, port, {"/clinic/dermq/": target}):
        yield url, api


def test_a_browser_submits_and_finds_its_way(below: tuple[str, Api], page: Page, tmp_path: Path) -> None:
    url, _ = below
    failed: list[str] = []
    page.on("response", lambda answer: failed.append(answer.url) if answer.status in (404, 418) else None)
    page.goto(f"{url}/")
    assert f"--server {url}" in str(page.locator("#dermq").text_content())
    page.locator("#files").set_input_files(write_zip(tmp_path / "l.zip", [("a.png", png(1)), ("b.png", png(2))]))
    page.locator("#send").click()
    page.wait_for_url(f"{url}/jobs/*")
    assert page.locator("h1").inner_text() == "l.zip"
    page.get_by_role("link", name="Jobs").first.click()
    page.wait_for_url(f"{url}/jobs")
    page.get_by_role("link", name="l.zip").first.click()
    page.wait_for_url(f"{url}/jobs/*")
    with page.expect_response(lambda answer: "/events" in answer.url and answer.url.startswith(url)):
        page.reload()
    page.goto(f"{url}/docs")
    page.locator("#swagger-ui").get_by_text("Submit an archive, follow it").wait_for()
    assert failed == []


def test_an_upload_in_parts_from_the_page_and_from_python(
    below: tuple[str, Api], page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, api = below
    archive = write_zip(tmp_path / "large.zip", [("a.png", png(1)), ("noise.bin", bytes(9_000_000))])
    page.goto(f"{url}/")
    page.locator("#files").set_input_files(archive)
    page.locator("#send").click()
    page.wait_for_url(f"{url}/jobs/*")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(parts, "SMALLEST", 1_000_000)
    with Client(url) as client:
        job = client.submit(archive)
        assert job.id in [each.id for each in client.jobs()]
    sizes = [info.size for info in api.storage.list("") if info.key.endswith("/archive")]
    assert sizes.count(archive.stat().st_size) == 2
