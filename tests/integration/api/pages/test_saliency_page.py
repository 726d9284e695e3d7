"""The map of which places speak for a class, laid over a picture: on the page that answers one picture, and in review."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Route, expect

from tests.integration.api.conftest import Api, classify, problem, scored, start_prepared, store_zip
from tests.integration.api.pages.conftest import Page, check_accessibility
from tests.support.stack import jpeg

CHECKBOX = "Show which places speak for a class"


def answered(api: Api, page: Page, folder: Path) -> Locator:
    """The answer of one picture, on the page that took it."""
    (folder / "lesion.jpg").write_bytes(jpeg(120, size=(80, 60)))
    page.goto(api.url)
    page.locator("#files").set_input_files(folder / "lesion.jpg")
    page.locator("#send").click()
    article = page.locator("#answer article")
    article.wait_for()
    return article


def wait_for_map(article: Locator) -> Locator:
    drawn = article.locator("img.map")
    drawn.wait_for()
    article.page.wait_for_function("() => document.querySelector('img.map').naturalWidth === 256")
    return drawn


def test_it_is_off_until_somebody_asks_and_names_what_it_is_not(explaining: Api, page: Page, tmp_path: Path) -> None:
    article = answered(explaining, page, tmp_path)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/saliency?" in request.url else None)
    box, drawn = article.get_by_label(CHECKBOX), article.locator("img.map")
    expect(box).not_to_be_checked()
    expect(drawn).to_be_hidden()
    expect(article.get_by_label("Opacity")).to_be_hidden()
    expect(article.locator(".saliency").get_by_text("Not a diagnosis.")).to_be_visible()
    assert asked == []
    box.check()
    wait_for_map(article)
    label = article.locator("tbody th").first.inner_text().split()[0]
    assert asked[0].endswith(f"/saliency?label={label}")
    assert article.locator(".said").inner_text() == f"Places that speak for {label}; the strongest is yellow."
    picture = article.locator(".picture img").first
    assert drawn.bounding_box() == picture.bounding_box()
    shapes = page.eval_on_selector_all(".picture img", "all => all.map(e => e.naturalWidth / e.naturalHeight)")
    assert shapes[0] == pytest.approx(shapes[1], rel=0.01)
    check_accessibility(page)
    box.uncheck()
    expect(drawn).to_be_hidden()
    box.check()
    expect(drawn).to_be_visible()
    assert len(asked) == 1


def test_class_and_opacity_are_chosen(explaining: Api, page: Page, tmp_path: Path) -> None:
    article = answered(explaining, page, tmp_path)
    article.get_by_label(CHECKBOX).check()
    drawn = wait_for_map(article)
    assert drawn.evaluate("e => e.style.opacity") == "0.7"
    article.get_by_label("Opacity").fill("0.25")
    assert drawn.evaluate("e => e.style.opacity") == "0.25"
    with page.expect_response("**/saliency?label=vasc") as response:
        article.get_by_role("combobox", name="Class").select_option("vasc")
    assert response.value.status == 200
    article.get_by_text("Places that speak for vasc;").wait_for()
    expect(drawn).to_have_attribute("alt", "Places that speak for vasc; the strongest is yellow.")
    assert drawn.evaluate("e => e.style.opacity") == "0.25"


def test_a_late_answer_for_another_class_hides_nothing(explaining: Api, page: Page, tmp_path: Path) -> None:
    article = answered(explaining, page, tmp_path)
    label = article.locator("tbody th").first.inner_text().split()[0]
    other = "vasc" if label != "vasc" else "nv"
    late: list[Route] = []

    def keep(route: Route) -> None:
        late.append(route)

    page.route(f"**/saliency?label={label}", keep, times=1)
    article.get_by_label(CHECKBOX).check()
    article.get_by_role("combobox", name="Class").select_option(other)
    drawn = wait_for_map(article)
    with page.expect_request_finished(lambda request: request.url.endswith(f"label={label}")):
        late[0].continue_()
    page.wait_for_timeout(200)  # in which the page sees it
    expect(drawn).to_be_visible()
    expect(drawn).to_have_attribute("alt", f"Places that speak for {other}; the strongest is yellow.")


def test_an_answer_that_nobody_wants_any_more_is_not_said(explaining: Api, page: Page, tmp_path: Path) -> None:
    article = answered(explaining, page, tmp_path)
    late: list[Route] = []

    def keep(route: Route) -> None:
        late.append(route)

    page.route("**/saliency?label=*", keep, times=1)
    with page.expect_request("**/saliency?label=*"):
        article.get_by_label(CHECKBOX).check()
    article.get_by_label(CHECKBOX).uncheck()
    with page.expect_request_finished(lambda request: "/saliency?label=" in request.url):
        late[0].continue_()
    page.wait_for_timeout(200)  # in which the page sees it
    assert article.locator(".saliency .said").text_content() == ""
    article.get_by_label(CHECKBOX).check()  # and what came is kept
    wait_for_map(article)


def test_why_there_is_no_map_is_said(explaining: Api, page: Page, tmp_path: Path) -> None:
    def refuse(route: Route) -> None:
        body = json.dumps({"detail": "version 1 of tiny is not served any more"})
        route.fulfill(status=409, content_type="application/problem+json", body=body)

    article = answered(explaining, page, tmp_path)
    page.route("**/saliency?*", refuse, times=1)
    article.get_by_label(CHECKBOX).check()
    article.get_by_text("version 1 of tiny is not served any more").wait_for()
    expect(article.locator("img.map")).to_be_hidden()
    article.get_by_label(CHECKBOX).uncheck()
    article.get_by_label(CHECKBOX).check()  # asks again
    wait_for_map(article)


def test_in_review_by_keyboard_alone(explaining: Api, page: Page) -> None:
    job = classify(explaining, jpeg(100)).json()["job"]
    page.goto(f"{explaining.url}/jobs/{job}/review")
    page.locator(".tile").first.focus()
    page.keyboard.press("Enter")
    box = page.locator("#detail").get_by_label(CHECKBOX)
    box.wait_for()
    page.keyboard.press("Tab")
    expect(box).to_be_focused()
    page.keyboard.press("Space")
    drawn = wait_for_map(page.locator("#detail article"))
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(page.locator("#detail").get_by_label("Opacity")).to_be_focused()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert drawn.evaluate("e => e.style.opacity") == "0.6"
    page.keyboard.press("a")  # the slider has the focus: no decision
    check_accessibility(page)
    page.keyboard.press("Escape")
    expect(page.locator("#detail")).to_be_hidden()
    problem(explaining.client.get(f"/v1/jobs/{job}/items/0/decision"), 404, "not_found")


def test_a_version_without_the_signature_has_no_such_switch(api: Api, page: Page, tmp_path: Path) -> None:
    job: uuid.UUID = start_prepared(api, *store_zip(api, tmp_path / "a.zip", [("a.jpg", jpeg(100))]))
    api.finish(job, 0, lambda number: scored(number, (0.1, 0.2, 0.3, 0.4)))
    page.goto(f"{api.url}/jobs/{job}/review")
    page.locator(".tile").first.click()
    page.locator("#detail article tbody th").first.wait_for()
    assert page.locator(".saliency, img.map").count() == 0
