"""The whole way of a reader through the stack of Compose, in a real browser: submit, watch, review, export, report.

Not one of the tests that `make test` collects: it needs a Docker engine and builds five images. `make compose` runs it.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page

from cli.sample import draw_samples, write_sample_archive
from tests.compose.stack import ComposeStack

pytestmark = pytest.mark.timeout(1800)

IMAGES = 14  # two of each class; the archive has three members that fail, besides
CLASSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")


def ask(page: Page, path: str) -> Any:
    """What the API answers the page's session."""
    return page.evaluate("path => fetch(path).then((answer) => answer.json())", path)


def job_of(page: Page) -> str:
    page.wait_for_url("**/jobs/*-*")
    return page.url.rpartition("/")[2]


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("drawn") / "lesions.zip"
    write_sample_archive(path, images=IMAGES)
    return path


@pytest.fixture(scope="session")
def job(stack: ComposeStack, reader: BrowserContext, archive: Path) -> str:
    """A ZIP, submitted and watched to its end on its page, which is never loaded again."""
    page = reader.new_page()
    page.goto(stack.url)
    page.locator("#files").set_input_files(archive)
    page.locator("#send").get_by_text("Submit this file").click()
    found = job_of(page)
    page.evaluate("window.first = true")
    page.locator("#job-head .pill.succeeded").wait_for()
    assert page.evaluate("window.first")
    assert page.locator("#job-overview .counts").inner_text() == f"{IMAGES + 3} of {IMAGES + 3}, 3 failed"
    page.close()
    return found


def test_a_zip_is_screened_and_its_failures_are_told(job: str, stack: ComposeStack, page: Page) -> None:
    page.goto(f"{stack.url}/jobs/{job}")
    codes = [row.split("\t")[:2] for row in page.locator("#job-failures tbody tr").all_inner_texts()]
    assert sorted(codes) == [["not an image", "1"], ["too many pixels", "1"], ["truncated", "1"]]
    shown = ask(page, f"/v1/jobs/{job}")
    assert (shown["name"], shown["counts"]["succeeded"], shown["counts"]["failed"]) == ("lesions.zip", IMAGES, 3)


def test_a_folder_is_packed_in_the_browser_and_screened(stack: ComposeStack, page: Page, tmp_path: Path) -> None:
    folder = tmp_path / "clinic"
    folder.mkdir()
    for name, content in draw_samples(3):
        (folder / name).write_bytes(content)
    (folder / "notes.txt").write_text("left out")
    page.goto(stack.url)
    page.locator("#folder").set_input_files(folder)
    page.locator("#send").get_by_text("Submit 3 pictures").click()
    job = job_of(page)
    page.locator("#job-head .pill.succeeded").wait_for()
    items = ask(page, f"/v1/jobs/{job}/results?sort=item")["data"]
    assert [item["name"] for item in items] == sorted(f"clinic/{name}" for name, _ in draw_samples(3))


def test_one_picture_is_answered_on_the_same_page(stack: ComposeStack, page: Page, tmp_path: Path) -> None:
    [(name, content)] = draw_samples(1, seed=5)
    (tmp_path / name).write_bytes(content)
    page.goto(stack.url)
    page.locator("#files").set_input_files(tmp_path / name)
    page.get_by_role("button", name="Classify this picture").click()
    page.locator("#answer article").wait_for()
    rows = [line.split() for line in page.locator("#answer tbody tr").all_inner_texts()]
    assert sorted(row[0] for row in rows) == sorted(CLASSES)
    assert sum(float(row[-2]) for row in rows) == pytest.approx(100, abs=0.5)
    assert page.url == f"{stack.url}/"
    page.wait_for_function("() => document.querySelector('#answer img').naturalWidth > 0")


def test_review_by_keyboard_and_an_export_with_its_decisions(job: str, stack: ComposeStack, page: Page) -> None:
    page.goto(f"{stack.url}/jobs/{job}/review")
    page.locator(".tile").first.wait_for()
    page.wait_for_function("() => document.querySelector('.tile img')?.naturalWidth > 0")
    page.locator("#reviewer").focus()
    page.keyboard.type("Ada")
    page.keyboard.press("Tab")
    for number, key in enumerate(("a", "3", "x"), start=1):  # agrees; the third class; unsure
        page.keyboard.press(key)
        page.get_by_text(f"{number} decided.").wait_for()
    page.keyboard.press("u")
    page.get_by_text("2 decided.").wait_for()
    page.goto(f"{stack.url}/jobs/{job}")
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    rows = list(csv.DictReader(io.StringIO(download.value.path().read_text("utf-8-sig"))))
    assert len(rows) == IMAGES + 3
    decided = {row["decision"]: row for row in rows if row["decision"]}
    assert set(decided) == {"agree", "relabel"}
    assert decided["agree"]["decision_label"] == decided["agree"]["label"]
    assert (decided["relabel"]["decision_label"], decided["relabel"]["decision_by"]) == ("bkl", "Ada")


def test_from_the_truth_to_a_report_to_a_cell_to_its_pictures(job: str, stack: ComposeStack, page: Page) -> None:
    page.goto(f"{stack.url}/jobs/{job}")
    page.get_by_role("link", name="Report").click()
    page.get_by_role("button", name="Use the archive's own").press("Enter")
    page.locator("#report-matrix").wait_for()
    matrix = [row.split() for row in page.locator("#report-matrix tbody tr").all_inner_texts()]
    assert {row[0]: sum(map(int, row[1:])) for row in matrix} == dict.fromkeys(CLASSES, 2)
    cell = page.locator("#report-matrix a").first
    count = int(cell.inner_text())
    cell.press("Enter")
    page.wait_for_url("**/review?truth=*&label=*")
    page.locator("#tally", has_text=f"{count} of {IMAGES + 3} pictures.").wait_for()
    assert page.locator(".tile").count() == count
