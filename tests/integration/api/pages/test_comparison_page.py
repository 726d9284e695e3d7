"""Two jobs over the same pictures, beside each other."""

from __future__ import annotations

import uuid
from typing import Any

from core.db.jobs import NewUpload
from core.ids import new_id
from tests.integration.api.conftest import Api, failed, scored
from tests.integration.api.pages.conftest import Page, check_accessibility


def outcome_a(number: int) -> Any:
    return scored(number, (0.0, 0.0, 0.9, 0.1) if number < 4 else (0.0, 0.0, 0.2, 0.8))


def outcome_b(number: int) -> Any:
    """Item 0 is `bcc`, item 4 is flagged, item 9 failed, item 8 has another name; the others are as in `outcome_a`."""
    if number == 9:
        return failed(number)
    others: dict[int, Any] = {0: (0.0, 0.8, 0.1, 0.1), 4: (0.0, 0.0, 0.7, 0.3)}
    return scored(
        number, others.get(number, (0.0, 0.0, 0.9, 0.1) if number < 4 else (0.0, 0.0, 0.2, 0.8)), "x" * (number == 8) or None
    )


def make_pair(api: Api) -> tuple[uuid.UUID, uuid.UUID]:
    upload = NewUpload(new_id(), f"uploads/{uuid.uuid4()}/archive", "a.zip", 1, "0" * 64)
    first = api.run(10, outcome_a, upload=upload)
    return first, api.run(10, outcome_b, upload_id=upload.id)


def test_where_two_jobs_differ(api: Api, page: Page) -> None:
    first, second = make_pair(api)
    page.goto(f"{api.url}/jobs/{first}")
    page.get_by_role("link", name="Compare").click()
    page.get_by_role("button", name="Compare").click()
    page.wait_for_url(f"**/compare?with={second}")
    facts = dict(zip(page.locator(".facts dt").all_inner_texts(), page.locator(".facts dd").all_inner_texts(), strict=True))
    assert facts == {
        "Compared": "9",
        "Same class": "75.0 %",
        "Same flag": "87.5 %",
        "Only A flags": "0",
        "Only B flags": "1",
        "Risk differs by": "0.0625",
    }
    assert page.get_by_text("2 pictures are in one of the jobs only.").count() == 1
    rows = page.locator(".matrix tbody tr").all_inner_texts()
    assert [row.split() for row in rows] == [
        ["akiec", "0", "0", "0", "0"],
        ["bcc", "0", "0", "0", "0"],
        ["mel", "0", "1", "3", "0"],
        ["nv", "0", "0", "1", "3"],
    ]
    assert page.locator(".differences code").all_inner_texts() == [f"images/{item:06}.jpg" for item in (9, 4, 0)]
    check_accessibility(page)


def test_a_job_that_is_alone(api: Api, page: Page) -> None:
    job = api.run(2, outcome_a, name="alone.zip")
    api.run(2, outcome_a, name="other.zip")
    page.goto(f"{api.url}/jobs/{job}/compare")
    assert page.locator(".state h2").inner_text() == "Nothing to compare with"
    check_accessibility(page)
    assert api.client.get(f"/jobs/{job}/compare?with={uuid.uuid4()}").status_code == 404
