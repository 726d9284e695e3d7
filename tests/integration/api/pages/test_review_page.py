"""Review by keyboard alone: sort, filter, decide, take back, and meet another reader."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

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
    page.get_by_text("More filters").click()
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


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def test_many_are_decided_at_once_and_taken_back(api: Api, job: uuid.UUID, page: Page) -> None:
    visit(api, job, page, "?label=nv")
    harmless = [number for number in range(ITEMS - 1) if risk_of(number) < 0.5]
    page.locator(".tile").first.focus()
    press(page, "Shift+ArrowRight", "Shift+ArrowRight", "f")
    page.locator(".tile", has_text="flag").nth(2).wait_for()
    flagged = sorted(each["item"] for each in api.client.get(f"/v1/jobs/{job}/decisions").json()["data"] if each["flagged"])
    assert flagged == sorted(sorted(harmless, key=risk_of, reverse=True)[:3])
    press(page, "s")
    assert page.locator("#selected").inner_text() == f"{len(harmless)} chosen"
    check_accessibility(page)
    page.locator("#bulk").get_by_role("button", name="Agree").click()
    page.get_by_text(f"{len(harmless)} decided.").wait_for()
    saved = api.client.get(f"/v1/jobs/{job}/decisions").json()["data"]
    assert {each["item"] for each in saved if each["verdict"] == "agree" and each["label"] == "nv"} == set(harmless)
    page.locator(".tile").first.focus()
    press(page, "u")
    page.get_by_text("threshold. 0 decided.").wait_for()
    kept = {
        each["item"]: (each["verdict"], each["flagged"]) for each in api.client.get(f"/v1/jobs/{job}/decisions").json()["data"]
    }
    assert kept == {item: (None, item in flagged) for item in harmless}  # flagged before, and still


def test_more_than_fifty_are_asked_about(api: Api, page: Page) -> None:
    job = api.run(60, lambda number: failed(number) if number == 59 else scored(number, (0.0, 0.0, 0.1, 0.9)))
    page.goto(f"{api.url}/jobs/{job}/review")
    page.get_by_text("60 of 60 pictures.").wait_for()
    page.locator("#reviewer").fill("Ada")
    page.locator(".tile").first.focus()
    press(page, "s", "a")
    page.get_by_role("button", name="Keep it").click()
    assert api.client.get(f"/v1/jobs/{job}/decisions").json()["data"] == []
    page.locator(".tile").first.focus()
    press(page, "a")
    page.get_by_role("button", name="Decide", exact=True).click()
    page.get_by_text("59 decided.").wait_for()  # no one agrees with a failure by the way


def test_somebody_elses_decision_is_seen_while_one_reads(api: Api, job: uuid.UUID, page: Page) -> None:
    visit(api, job, page)
    api.client.post(f"/v1/jobs/{job}/reviewers", json={"reviewer": "Bea"})
    body = {"verdict": "relabel", "label": "akiec", "reviewer": "Bea", "revision": 0}
    assert api.client.put(f"/v1/jobs/{job}/items/{RISKIEST[2]}/decision", json=body).status_code == 200
    page.locator(f'.tile.decided[aria-label^="Picture {RISKIEST[2] + 1}:"]', has_text="akiec").wait_for()
    page.get_by_text("Also here: Bea").wait_for()
    expect(page.locator("#announcer")).to_have_text(f"Bea has decided about picture {RISKIEST[2] + 1}")


def test_a_blind_second_read_and_what_is_settled(api: Api, job: uuid.UUID, page: Page) -> None:
    first, second = RISKIEST[:2]
    for item in (first, second):
        body = {"verdict": "agree", "reviewer": "Ada", "revision": 0}
        assert api.client.put(f"/v1/jobs/{job}/items/{item}/decision", json=body).status_code == 200
    visit(api, job, page, "?read=2", name="Ada")
    page.get_by_text("threshold. 0 decided.").wait_for()
    assert page.locator(".tile.decided").count() == 0  # blind
    page.locator(".tile").first.focus()
    press(page, "a")
    page.locator("#trouble").wait_for()
    expected = f"Not saved: Ada made the first read of item {first}: expected another reader for the other one."
    assert page.locator("#trouble").inner_text() == expected
    page.locator("#reviewer").fill("Bea")
    page.locator(".tile").first.focus()
    press(page, "a")
    page.get_by_text("threshold. 1 decided.").wait_for()
    press(page, "4")  # nv
    page.get_by_text("threshold. 2 decided.").wait_for()
    page.locator("#read").select_option("3")
    page.get_by_text("Two readers differ about 1 of 2.").wait_for()
    page.locator("#decision").select_option("differ")
    assert shown(page) == [second]
    label = "mel" if second % 2 == 0 else "bcc"
    assert page.locator(".tile .said").inner_text() == f"Ada: {label}, Bea: nv"
    check_accessibility(page)
    page.locator("#reviewer").fill("Cyd")
    page.locator(".tile").first.focus()
    press(page, "4")
    page.get_by_text("threshold. 1 decided.").wait_for()
    row = api.client.get(f"/v1/jobs/{job}/items/{second}").json()
    assert (row["decision_label"], row["decision_by"], row["first_by"], row["second_by"]) == ("nv", "Cyd", "Ada", "Bea")


def test_names_are_searched_and_patients_stay_together(api: Api, page: Page) -> None:
    def named(number: int) -> Any:
        item = scored(number, (0.0, 0.0, number / 10, 1 - number / 10), name=f"clinic/{'ab'[number % 2]}{number}.jpg")
        return replace(item, metadata={"patient": f"P{number % 3}"}, difference_hash=number // 4 * 0xFFFFFF)

    job = api.submit()
    api.start(job, items=8, metadata_columns=("patient",))
    api.finish(job, 0, named)
    page.goto(f"{api.url}/jobs/{job}/review?by=patient")
    page.get_by_text("8 of 8 pictures.").wait_for()
    assert shown(page) == [7, 4, 1, 6, 3, 0, 5, 2]  # P1 has the highest risk, then P0, then P2
    assert page.locator(".tile.lead").count() == 3
    page.locator("#group").fill("p0")
    page.get_by_text("3 of 8 pictures.").wait_for()
    assert shown(page) == [6, 3, 0]
    page.locator("#group").fill("")
    page.locator("#name").fill("/B")
    page.get_by_text("4 of 8 pictures.").wait_for()
    assert shown(page) == [7, 1, 3, 5]
    assert "name=%2FB" in page.url
    page.locator("#name").fill("")
    page.locator("#by").select_option("near duplicates")
    page.locator("#sort").select_option("item")
    page.get_by_text("8 of 8 pictures.").wait_for()
    assert page.locator(".tile.lead .said").all_inner_texts() == ["0", "4"]
    check_accessibility(page)


def test_keys_are_changed_and_kept(api: Api, job: uuid.UUID, page: Page) -> None:
    visit(api, job, page)
    page.locator(".tile").first.focus()
    press(page, "?")
    page.get_by_role("button", name="Change the key for: agree with the model").press("Enter")
    press(page, "x")
    assert page.locator("#help-said").inner_text() == "X does something else already"
    page.get_by_role("button", name="Change the key for: agree with the model").press("Enter")
    press(page, "g")
    assert page.locator("#help-said").inner_text() == "G it is"
    check_accessibility(page)
    page.get_by_role("button", name="Close", exact=True).press("Enter")
    page.reload()
    page.get_by_text(f"of {ITEMS} pictures.").wait_for()
    page.locator(".tile").first.focus()
    press(page, "a", "g")
    page.get_by_text("threshold. 1 decided.").wait_for()
    assert page.evaluate("document.activeElement.dataset.place") == "1"
    press(page, "?")
    page.get_by_role("button", name="Usual keys").press("Enter")
    page.get_by_role("button", name="Close", exact=True).press("Enter")
    press(page, "a")
    page.get_by_text("threshold. 2 decided.").wait_for()
