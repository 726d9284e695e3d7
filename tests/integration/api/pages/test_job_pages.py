"""The list of jobs and one job: what they show, and that they follow what happens."""

from __future__ import annotations

import uuid

import pytest
from playwright.sync_api import expect

from core.errors import ItemErrorCode
from core.notes import ItemNote
from tests.integration.api.conftest import Api, failed, scored
from tests.integration.api.pages.conftest import Page, check_accessibility

CERTAIN = (0.0, 0.0, 0.9, 0.1)
HARMLESS = (0.1, 0.1, 0.1, 0.7)


def outcome(number: int) -> object:
    return failed(number) if number % 10 == 9 else scored(number, CERTAIN if number % 10 < 3 else HARMLESS)


@pytest.fixture(scope="module")
def job(api: Api) -> uuid.UUID:
    """100 items: 30 flagged `mel`, 60 harmless `nv`, 10 failed."""
    return api.run(100, outcome, name="clinic <b>.zip")  # type: ignore[arg-type]


def test_a_job_is_shown_with_its_numbers(api: Api, job: uuid.UUID, page: Page) -> None:
    page.goto(f"{api.url}/jobs/{job}")
    assert page.title() == "clinic <b>.zip · DermQ"
    facts = dict(zip(page.locator(".facts dt").all_inner_texts(), page.locator(".facts dd").all_inner_texts(), strict=True))
    assert (facts["Classified"], facts["Failed"], facts["Flagged"], facts["Model"]) == ("90", "10", "30", "tiny v3")
    rows = [row.split() for row in page.locator("#job-classes tbody tr").all_inner_texts()]
    assert [(row[0], row[-1]) for row in rows] == [("nv", "60"), ("mel", "30"), ("akiec", "0"), ("bcc", "0")]
    assert page.locator("#risk-text").inner_text().startswith("30 of 90 classified pictures reach the threshold of 0.5.")
    assert page.locator("#job-failures tbody tr").all_inner_texts()[0].split("\t")[:2] == ["truncated", "10"]
    assert page.locator("#job-failed-items li").count() == 10
    check_accessibility(page)


def test_a_job_is_followed_without_a_reload(api: Api, page: Page) -> None:
    job = api.submit(name="live.zip")
    page.goto(f"{api.url}/jobs/{job}")
    assert page.locator("#job-head .pill").inner_text() == "queued"
    check_accessibility(page)
    api.start(job, items=20, chunk_items=10)
    page.locator("#job-head .pill.running").wait_for()
    api.finish(job, 0, outcome)  # type: ignore[arg-type]
    page.get_by_text("10 of 20").wait_for()
    api.finish(job, 1, outcome)  # type: ignore[arg-type]
    page.locator("#job-head .pill.succeeded").wait_for()
    assert page.locator("#job-overview .counts").inner_text() == "20 of 20, 2 failed"
    expect(page.locator("#announcer")).to_have_text("live.zip: succeeded, 100 %")  # after what was said before it


@pytest.mark.parametrize(
    ("texts", "heard"),
    [
        (
            ["Saved: 2 tags", "a.zip: queued, 0 %", "a.zip: running, 0 %"],
            ["Saved: 2 tags", "a.zip: queued, 0 %", "a.zip: running, 0 %"],
        ),
        ([f"{number} chosen" for number in range(1, 21)], ["1 chosen", "18 chosen", "19 chosen", "20 chosen"]),
    ],
    ids=["a few", "more than can be said in time"],
)
def test_texts_that_come_together_are_said_one_after_the_other(
    api: Api, page: Page, texts: list[str], heard: list[str]
) -> None:
    page.goto(f"{api.url}/jobs")
    said = page.evaluate(
        """async ([texts, count]) => {
          const { announce } = await import("/static/page.js");
          const announcer = document.querySelector("#announcer");
          const heard = [];
          new MutationObserver(() => heard.push(announcer.textContent)).observe(announcer, { childList: true });
          texts.forEach(announce);
          while (heard.length < count) await new Promise((go) => setTimeout(go, 50));
          return heard;
        }""",
        [texts, len(heard)],
    )
    assert said == heard


def test_a_job_is_followed_where_events_do_not_come(api: Api, page: Page) -> None:
    job = api.submit(name="cut.zip")
    page.route("**/events", lambda route: route.abort())
    page.goto(f"{api.url}/jobs/{job}")
    api.start(job, items=5)
    page.locator("#job-head .pill.running").wait_for()
    api.finish(job, 0, outcome)  # type: ignore[arg-type]
    page.locator("#job-head .pill.succeeded").wait_for()


def test_an_outage_is_said_and_passes(api: Api, page: Page) -> None:
    job = api.submit(name="away.zip")
    page.goto(f"{api.url}/jobs/{job}")
    page.route("**/live", lambda route: route.abort())
    page.locator("#trouble").wait_for()
    assert page.locator("#trouble").inner_text().startswith("The server does not answer.")
    page.unroute("**/live")
    page.locator("#trouble").wait_for(state="hidden")


def test_the_list_filters_by_the_address(api: Api, job: uuid.UUID, page: Page) -> None:
    waiting = api.submit(name="waiting.zip")
    page.goto(f"{api.url}/jobs")
    check_accessibility(page)
    page.get_by_label("queued").check()
    page.wait_for_url("**/jobs?state=queued")
    assert page.locator(f"#job-{waiting}").count() == 1
    assert page.locator(f"#job-{job}").count() == 0
    page.goto(f"{api.url}/jobs?state=preparing")
    assert page.locator("#jobs-empty h2").inner_text() == "No job here"


def test_the_list_has_pages(api: Api, page: Page) -> None:
    for number in range(26):
        api.submit(name=f"many-{number}.zip")
    page.goto(f"{api.url}/jobs")
    assert page.locator("tbody tr").count() == 25
    page.get_by_role("link", name="Older").click()
    page.wait_for_url("**/jobs?cursor=*")
    assert page.locator("tbody tr th a").first.inner_text() == "many-0.zip"


def test_cancel_retry_and_delete_by_keyboard(api: Api, page: Page) -> None:
    job = api.submit(name="keys.zip")
    page.goto(f"{api.url}/jobs/{job}")
    page.get_by_role("button", name="Cancel keys.zip").press("Enter")
    page.get_by_role("button", name="Keep it").press("Enter")
    assert api.client.get(f"/v1/jobs/{job}").json()["state"] == "queued"
    page.get_by_role("button", name="Cancel keys.zip").press("Enter")
    page.get_by_role("button", name="Cancel the job").press("Enter")
    page.locator("#job-head .pill.cancelled").wait_for()
    page.get_by_role("button", name="Retry keys.zip").press("Enter")
    page.locator("#job-head .pill.queued").wait_for()
    api.client.post(f"/v1/jobs/{job}/cancel")
    page.locator("#job-head .pill.cancelled").wait_for()
    page.get_by_role("button", name="Delete keys.zip").press("Enter")
    page.get_by_role("button", name="Delete", exact=True).press("Enter")
    page.wait_for_url("**/jobs")
    assert api.client.get(f"/v1/jobs/{job}").status_code == 404


def test_notes_lead_to_their_pictures(api: Api, page: Page) -> None:
    def blurred(number: int) -> object:
        item = scored(number, HARMLESS)
        return type(item)(**{**{name: getattr(item, name) for name in item.__slots__}, "notes": (ItemNote.BLURRED,)})

    job = api.run(4, blurred)  # type: ignore[arg-type]
    page.goto(f"{api.url}/jobs/{job}")
    link = page.get_by_role("link", name="Blurred")
    assert link.get_attribute("href") == f"/jobs/{job}/review?note=blurred"
    assert page.locator("#job-notes li").inner_text().startswith("Blurred: 4. The picture has almost no fine detail.")


def test_a_job_of_failures_only(api: Api, page: Page) -> None:
    job = api.run(3, lambda number: failed(number, ItemErrorCode.NOT_AN_IMAGE), name="bad.zip")
    page.goto(f"{api.url}/jobs/{job}")
    assert page.locator("#job-empty h2").inner_text() == "No classified pictures"
    check_accessibility(page)


def test_several_jobs_at_once(api: Api, page: Page) -> None:
    jobs = [api.submit(name=f"bulk-{number}.zip") for number in range(3)]
    page.goto(f"{api.url}/jobs?name=bulk-")
    page.get_by_label("Choose all jobs of this page").check()
    assert page.locator("#selected").inner_text() == "3 chosen"
    page.get_by_label("Choose bulk-2.zip").uncheck()
    check_accessibility(page)
    page.locator("#bulk").get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Cancel the job").click()
    page.locator(f"#job-{jobs[0]} .pill.cancelled").wait_for()
    states = [api.client.get(f"/v1/jobs/{job}").json()["state"] for job in jobs]
    assert states == ["cancelled", "cancelled", "queued"]
    assert not page.locator("#bulk").is_visible()
    page.get_by_label("Choose all jobs of this page").check()
    assert page.locator("#bulk").get_by_role("button", name="Delete").is_enabled()
    page.locator("#bulk").get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete", exact=True).last.click()
    page.locator(f"#job-{jobs[0]}").wait_for(state="detached")
    assert [api.client.get(f"/v1/jobs/{job}").status_code for job in jobs] == [404, 404, 200]


def test_jobs_are_tagged_and_searched(api: Api, page: Page) -> None:
    job = api.submit(name="tagged.zip")
    page.goto(f"{api.url}/jobs/{job}")
    page.get_by_label("Tags").fill("ward 7, second visit")
    page.get_by_label("Tags").press("Enter")
    page.locator("#announcer", has_text="Saved: 2 tags").wait_for(state="attached")
    page.goto(f"{api.url}/jobs")
    page.get_by_role("link", name="second visit").click()
    page.wait_for_url("**/jobs?tag=second%20visit")
    assert page.locator("tbody th a").first.inner_text() == "tagged.zip"
    assert page.locator("tbody tr").count() == 1
    page.get_by_label("Name").fill("none of these")
    page.get_by_label("Name").press("Enter")
    page.locator("#jobs-empty h2", has_text="No job here").wait_for()
