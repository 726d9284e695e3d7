"""Review by keyboard alone: sort, filter, decide, take back, and meet another reader."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest

from core.notes import ItemNote
from tests.integration.api.conftest import Api, failed, scored, start_prepared, store_zip
from tests.integration.api.pages.conftest import Page, check_accessibility
from tests.support.stack import png

ITEMS = 40


def risk_of(number: int) -> float:
    return (number * 7 % ITEMS) / ITEMS


def outcome(number: int) -> Any:
    """Item 39 failed; the others' risks are all different, the even ones are `mel`, the odd ones `bcc`; below a half `nv`."""
    if number == ITEMS - 1:
        return failed(number)
    risk = risk_of(number)
    item = scored(number, (0.0, risk, 0.0, 1 - risk) if number % 2 else (0.0, 0.0, risk, 1 - risk))
    if number % 10:
        return item
    return type(item)(**{name: getattr(item, name) for name in item.__slots__} | {"notes": (ItemNote.BLURRED,)})


@pytest.fixture
def job(api: Api, tmp_path: Path) -> uuid.UUID:
    members = [(f"{number}.png", png(5 * number)) for number in range(ITEMS)]
    job_id = start_prepared(api, *store_zip(api, tmp_path / "a.zip", members), name="review.zip")
    api.finish(job_id, 0, outcome)
    return job_id


def visit(api: Api, job: uuid.UUID, page: Page, query: str = "", name: str = "Ada") -> None:
    page.goto(f"{api.url}/jobs/{job}/review{query}")
    page.get_by_text(f"of {ITEMS} pictures.").wait_for()
    page.locator("#reviewer").fill(name)
    page.locator("#reviewer").blur()


def shown(page: Page) -> list[int]:
    """Item numbers of the tiles in sight, in their order."""
    return [
        int(label.split()[1].rstrip(":")) - 1
        for label in page.eval_on_selector_all(".tile", "all => all.map(e => e.ariaLabel)")
    ]


def decision(api: Api, job: uuid.UUID, item: int) -> dict[str, Any]:
    found: dict[str, Any] = api.client.get(f"/v1/jobs/{job}/items/{item}/decision").json()
    return found


RISKIEST = sorted(range(ITEMS - 1), key=risk_of, reverse=True)


def test_the_riskiest_come_first_with_their_pictures(api: Api, job: uuid.UUID, page: Page) -> None:
    visit(api, job, page)
    assert shown(page)[:10] == RISKIEST[:10]
    page.wait_for_function("() => document.querySelector('.tile img')?.naturalWidth === 28")
    flagged = sum(risk_of(number) >= 0.5 for number in range(ITEMS - 1))
    assert page.locator("#tally").inner_text() == f"40 of 40 pictures. {flagged} reach the threshold. 0 decided."
    check_accessibility(page)


def test_order_and_filter_are_in_the_address(api: Api, job: uuid.UUID, page: Page) -> None:
    visit(api, job, page, "?sort=uncertain&label=nv")
    certain = {number: abs(1 - 2 * risk_of(number)) for number in range(ITEMS - 1) if risk_of(number) < 0.5}
    assert shown(page)[:5] == sorted(certain, key=lambda number: (certain[number], number))[:5]
    page.locator("#label").select_option("")
    page.locator("#note").select_option("blurred")
    page.locator("#sort").select_option("item")
    assert shown(page) == [0, 10, 20, 30]
    assert page.url.partition("?")[2] == "sort=item&note=blurred"
    page.locator("#note").select_option("")
    page.locator("#show").select_option("failed")
    assert shown(page) == [ITEMS - 1]
    page.reload()
    page.get_by_text("1 of 40 pictures.").wait_for()
    page.locator("#decision").select_option("agree")
    assert page.locator("#nothing h2").inner_text() == "No picture here"
    assert api.client.get(f"/jobs/{job}/review?sort=none").status_code == 422


def test_the_threshold_is_moved_in_the_browser(api: Api, job: uuid.UUID, page: Page) -> None:
    visit(api, job, page, "?threshold=0.9")
    assert " 4 reach the threshold." in page.locator("#tally").inner_text()
    page.locator("#threshold").focus()
    page.keyboard.press("Home")
    assert f" {ITEMS - 1} reach the threshold." in page.locator("#tally").inner_text()


def test_decisions_by_keyboard_alone(api: Api, job: uuid.UUID, page: Page) -> None:
    visit(api, job, page)
    first, second, third, fourth = RISKIEST[:4]
    page.locator("#reviewer").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("a")
    page.get_by_text("1 decided.").wait_for()
    page.keyboard.press("3")  # mel
    page.get_by_text("2 decided.").wait_for()
    page.keyboard.press("x")
    page.get_by_text("3 decided.").wait_for()
    page.keyboard.press("f")
    page.locator(f'.tile[aria-label^="Picture {fourth + 1}:"]', has_text="flag").wait_for()
    page.keyboard.press("n")
    page.keyboard.type("pigment network")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.locator(f'.tile[aria-label^="Picture {fourth + 1}:"]', has_text="note").wait_for()
    assert (decision(api, job, first)["verdict"], decision(api, job, first)["reviewer"]) == ("agree", "Ada")
    assert (decision(api, job, second)["verdict"], decision(api, job, second)["label"]) == ("relabel", "mel")
    assert decision(api, job, third)["verdict"] == "unsure"
    assert (decision(api, job, fourth)["flagged"], decision(api, job, fourth)["note"]) == (True, "pigment network")
    for _ in range(3):  # the note, the flag, the doubt
        page.keyboard.press("u")
    page.get_by_text("2 decided.").wait_for()
    assert decision(api, job, third)["verdict"] is None
    page.keyboard.press("Home")
    page.keyboard.press("j")
    assert page.evaluate("document.activeElement.dataset.place") == "2"
    page.reload()
    page.get_by_text("2 decided.").wait_for()
    assert page.locator("#reviewer").input_value() == "Ada"


def test_a_closer_look(api: Api, job: uuid.UUID, page: Page) -> None:
    visit(api, job, page)
    page.locator(".tile").first.focus()
    page.keyboard.press(" ")
    page.locator("#detail-item article").wait_for()
    assert page.locator("#detail-item h2").inner_text() == f"images/{RISKIEST[0]:06}.jpg"
    check_accessibility(page)
    page.keyboard.press("ArrowRight")
    page.locator(f"#detail-item article[data-item='{RISKIEST[1]}']").wait_for()
    page.keyboard.press(" ")  # closes, and presses no button
    assert not page.locator("#detail").is_visible()
    assert page.evaluate("document.activeElement.dataset.place") == "1"
    assert api.client.get(f"/v1/jobs/{job}/decisions").json()["data"] == []
    page.keyboard.press("?")
    assert page.locator("#help h2").inner_text() == "Keys"
    check_accessibility(page)


def test_another_reader_is_shown_and_not_overwritten(api: Api, job: uuid.UUID, page: Page) -> None:
    visit(api, job, page)
    body = {"verdict": "relabel", "label": "akiec", "reviewer": "Bea", "revision": 0}
    assert api.client.put(f"/v1/jobs/{job}/items/{RISKIEST[0]}/decision", json=body).status_code == 200
    page.locator(".tile").first.focus()
    page.keyboard.press("a")
    page.locator("#trouble").wait_for()
    expected = "Not saved: Bea has decided meanwhile (relabel akiec). Press the key again to replace it."
    assert page.locator("#trouble").inner_text() == expected
    assert decision(api, job, RISKIEST[0])["reviewer"] == "Bea"
    page.keyboard.press("a")
    page.locator(".tile.decided", has_text="agree").wait_for()
    assert (decision(api, job, RISKIEST[0])["reviewer"], decision(api, job, RISKIEST[0])["revision"]) == ("Ada", 2)


def test_a_name_is_asked_for(api: Api, job: uuid.UUID, page: Page) -> None:
    visit(api, job, page, name="")
    page.locator(".tile").first.focus()
    page.keyboard.press("a")
    assert page.locator("#trouble").inner_text() == "Write your name first: each decision says who made it."
    assert page.evaluate("document.activeElement.id") == "reviewer"


def test_a_large_job_has_few_tiles(api: Api, page: Page) -> None:
    job = api.run(20_000, lambda number: scored(number, (0.0, 0.0, number / 20_000, 1 - number / 20_000)))
    page.goto(f"{api.url}/jobs/{job}/review?sort=item")
    page.get_by_text("20,000 of 20,000 pictures.").wait_for()
    page.locator(".tile").first.focus()
    page.keyboard.press("End")
    page.locator('.tile[aria-label^="Picture 20000:"]').wait_for()
    assert page.locator(".tile").count() < 200
    assert page.locator("li:has(:focus)").get_attribute("aria-posinset") == "20000"
