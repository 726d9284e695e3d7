"""The report on a job: a truth is given, read, opened in review, and saved as one file."""

from __future__ import annotations

import re
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.integration.api.conftest import Api, failed, scored
from tests.integration.api.pages.conftest import Page, check_accessibility

MEL, NV = (0.0, 0.05, 0.75, 0.2), (0.1, 0.05, 0.05, 0.8)
CLASSES = ("mel", "nv")


def outcome(number: int) -> Any:
    """Of each ten items seven are seen as they are, one `mel` as `nv`, one `nv` as `mel`, and one fails."""
    cells = {"sex": ("male", "female")[number % 2], "dx": CLASSES[number % 10 >= 4]}
    place = number % 10
    found = failed(number) if place == 9 else scored(number, MEL if place in (0, 1, 2, 4) else NV)
    return replace(found, metadata=cells)


@pytest.fixture
def job(api: Api) -> uuid.UUID:
    """100 items with a table: 40 `mel`, 60 `nv`."""
    job_id = api.submit(name="reader <study>.csv")
    api.start(job_id, items=100, metadata_columns=("sex", "dx"))
    api.finish(job_id, 0, outcome)
    return job_id


def test_the_archive_gives_the_truth_and_a_cell_opens_its_pictures(api: Api, job: uuid.UUID, page: Page) -> None:
    page.goto(f"{api.url}/jobs/{job}")
    page.get_by_role("link", name="Report").click()
    page.get_by_role("heading", name="No truth yet").wait_for()
    page.get_by_role("button", name="Use the archive's own").press("Enter")
    page.locator("#report-matrix").wait_for()
    assert [row.split() for row in page.locator("#report-matrix tbody tr").all_inner_texts()] == [
        ["akiec", "0", "0", "0", "0"],
        ["bcc", "0", "0", "0", "0"],
        ["mel", "0", "0", "30", "10"],
        ["nv", "0", "0", "10", "40"],
    ]
    facts = dict(zip(page.locator(".facts dt").all_inner_texts(), page.locator(".facts div").all_inner_texts(), strict=True))
    assert facts["Balanced accuracy"].split("\n")[1] == "0.775"  # (30 / 40 + 40 / 50) / 2
    assert facts["Sensitivity"].split("\n")[1] == "0.750"
    counted = page.locator("#report-truth p").inner_text()
    assert counted.endswith("90 classified pictures have a true class. 10 more have one and failed.")
    assert [row.split("\t")[:3] for row in page.locator("#report-by-sex tbody tr").all_inner_texts()] == [
        ["female", "40", "20"],
        ["male", "50", "20"],
    ]
    points = page.locator("#report-roc .curve").get_attribute("points")
    assert points == "40.0,250.0 88.0,70.0 280.0,10.0"  # nothing flagged; sensitivity 0.75 at specificity 0.8; all flagged
    assert page.locator("#report-roc .point").get_attribute("cx") == "88.0"
    page.get_by_role("link", name="10 pictures of mel seen as nv").press("Enter")
    page.wait_for_url("**/review?truth=mel&label=nv")
    page.locator("#tally", has_text="10 of 100 pictures.").wait_for()
    assert page.locator("#truth").input_value() == "mel"
    assert "Sensitivity 0.750, specificity 0.800." in page.locator("#tally").inner_text()
    page.locator("#label").select_option("")
    page.locator("#tally", has_text="40 of 100 pictures.").wait_for()
    assert page.url.endswith("review?truth=mel")


def test_a_csv_is_taken_and_its_problems_are_named(api: Api, job: uuid.UUID, page: Page, tmp_path: Path) -> None:
    page.goto(f"{api.url}/jobs/{job}/report")
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("image,colour\n000001,red\n")
    page.locator("input[type=file]").set_input_files(wrong)
    page.get_by_role("button", name="Send it").click()
    page.locator("#trouble", has_text="Not taken: expected a column dx, label").wait_for()
    check_accessibility(page)
    right = tmp_path / "zweite Lesung ü.csv"
    right.write_text("image,dx\n000000,melanoma\n000005,nv\n777,nv\n000006,scc\n")
    page.locator("input[type=file]").set_input_files(right)
    page.get_by_role("button", name="Send it").click()
    page.locator("#report-matrix").wait_for()
    text = page.locator("#report-truth").inner_text()
    assert text.split("\n")[2].startswith("zweite Lesung ü.csv, column 'dx', added ")
    assert "1 names match no picture: 777" in text
    assert "Classes that the model does not have: scc (1)" in text
    assert "Read as: melanoma as mel" in text


def test_the_report_is_accessible(api: Api, job: uuid.UUID, page: Page) -> None:
    api.client.put(f"/v1/jobs/{job}/truth", json={"source": "archive"})
    page.goto(f"{api.url}/jobs/{job}/report")
    check_accessibility(page)


def test_the_file_needs_nothing_else(api: Api, job: uuid.UUID, page: Page, tmp_path: Path) -> None:
    api.client.put(f"/v1/jobs/{job}/truth", json={"source": "archive"})
    answer = api.client.get(f"/v1/jobs/{job}/report.html")
    assert answer.headers["content-disposition"].startswith('attachment; filename="reader <study>.csv-report.html"')
    assert re.findall(r"<(?:link|script|img|iframe)|url\(|@import", answer.text) == []
    saved = tmp_path / "report.html"
    saved.write_bytes(answer.content)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(saved.as_uri())
    assert page.locator("h1").inner_text() == "Report on reader <study>.csv"
    assert page.locator("#report-matrix tbody tr").count() == 4
    link = page.get_by_role("link", name="10 pictures of mel seen as nv")
    assert link.get_attribute("href") == f"{api.url}/jobs/{job}/review?truth=mel&label=nv"
    assert asked == [saved.as_uri()]


def test_a_job_that_runs_takes_no_truth_yet(api: Api, page: Page) -> None:
    job = api.submit(name="early.zip")
    page.goto(f"{api.url}/jobs/{job}/report")
    page.get_by_role("heading", name="The job has not ended").wait_for()
    assert page.locator("#truth-form").count() == 0
    check_accessibility(page)
