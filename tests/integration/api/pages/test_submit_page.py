"""The page that takes pictures: what it says of files before they are sent, and what the server gets."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Route

from api.intake.resumable import receive_part
from core.errors import StorageUnavailableError
from tests.integration.api.conftest import Api
from tests.integration.api.pages.conftest import Page, check_accessibility
from tests.integration.api.test_drift import run_with_reference
from tests.support.stack import jpeg, png, write_zip

LONG = "a-folder-with-a-long-name/" * 5 + "läsion.png"


def facts(page: Page) -> dict[str, str]:
    return dict(zip(page.locator("#facts dt").all_inner_texts(), page.locator("#facts dd").all_inner_texts(), strict=True))


def uploaded(api: Api, job: str) -> bytes:
    """The newest upload, which belongs to that job."""
    assert api.client.get(f"/v1/jobs/{job}").status_code == 200
    key = max(key for key in api.stored() if key.startswith("uploads/"))
    reader = api.storage.open(key)
    try:
        return reader.read_at(0, reader.size)
    finally:
        reader.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five pictures, two of them the same, a text, and what operating systems leave behind."""
    top = tmp_path / "clinic"
    (top / LONG).parent.mkdir(parents=True)
    files = {"a.jpg": jpeg(10), "b.jpg": jpeg(200), "same.jpg": jpeg(10), "c.png": png(3), LONG: png(90)}
    for name, content in (files | {"notes.txt": b"no picture", ".DS_Store": b"x", "Thumbs.db": b"y"}).items():
        (top / name).write_bytes(content)
    return top


def test_the_page_is_the_first(api: Api, page: Page) -> None:
    page.goto(api.url)
    assert page.locator("h1").inner_text() == "Submit pictures"
    page.get_by_text("The model server does not answer. Jobs are taken, and wait for it.").wait_for()
    check_accessibility(page)


def test_a_folder_is_looked_at_and_packed(api: Api, folder: Path, page: Page) -> None:
    page.goto(api.url)
    page.locator("#folder").set_input_files(folder)
    page.locator("#send").get_by_text("Submit 5 pictures").wait_for()
    assert (facts(page)["Files"], facts(page)["Formats"]) == ("5", "JPEG 3, PNG 2")
    assert page.locator("#leave-text").inner_text() == "Leave out 1 file that is no picture"
    [remark] = page.locator("#remarks li").all_inner_texts()
    assert remark.startswith("1 file has the same bytes as another one, for example clinic/")
    check_accessibility(page)
    page.get_by_text("high").check()
    page.locator("summary").click()
    assert page.locator("#curl").inner_text() == f"tar -c clinic | curl -T - '{api.url}/v1/jobs?priority=high'"
    page.locator("#send").press("Enter")
    page.wait_for_url("**/jobs/*-*")
    job = page.url.rpartition("/")[2]
    assert api.client.get(f"/v1/jobs/{job}").json()["name"] == "clinic.tar"
    with tarfile.open(fileobj=io.BytesIO(uploaded(api, job))) as archive:
        names = {member.name: archive.extractfile(member) for member in archive}
        expected = {"a.jpg", "b.jpg", "same.jpg", "c.png", LONG}
        assert set(names) == {f"clinic/{name}" for name in expected}
        for name in expected:
            file = names[f"clinic/{name}"]
            assert file is not None
            assert file.read() == (folder / name).read_bytes()


def test_what_is_no_picture_can_be_sent_too(api: Api, folder: Path, page: Page) -> None:
    page.goto(api.url)
    page.locator("#folder").set_input_files(folder)
    page.locator("#leave-out").uncheck()
    page.locator("#send").get_by_text("Submit 6 pictures").wait_for()
    assert facts(page)["Formats"] == "JPEG 3, PNG 2, unknown 1"


def test_an_archive_is_sent_as_it_is(api: Api, tmp_path: Path, page: Page) -> None:
    archive = write_zip(tmp_path / "lesions.zip", [("a.jpg", jpeg(1)), ("b.png", png(2))])
    page.goto(api.url)
    page.locator("#files").set_input_files(archive)
    page.locator("#send").get_by_text("Submit this file").wait_for()
    assert (facts(page)["Formats"], facts(page)["Entries in the archive"]) == ("ZIP", "2")
    page.locator("#name").fill("ward 7")
    page.locator("#tags").fill("second visit, it's urgent")
    page.locator("summary").click()
    expected = r" --tag 'second visit' --tag 'it'\''s urgent'"
    assert page.locator("#dermq").inner_text().endswith(expected)
    page.locator("#send").click()
    page.wait_for_url("**/jobs/*-*")
    job = page.url.rpartition("/")[2]
    submitted = api.client.get(f"/v1/jobs/{job}").json()
    assert (submitted["name"], submitted["tags"]) == ("ward 7", ["it's urgent", "second visit"])
    assert uploaded(api, job) == archive.read_bytes()


def test_a_lost_connection_makes_one_job(api: Api, tmp_path: Path, page: Page) -> None:
    """The answer gets lost, the user sends again: the key is the same, and so is the job."""
    archive = write_zip(tmp_path / "once.zip", [("a.jpg", jpeg(1))])
    page.goto(api.url)
    page.locator("#files").set_input_files(archive)
    lost: list[str] = []

    def lose(route: Route) -> None:
        headers = {"Idempotency-Key": route.request.headers["idempotency-key"]}
        path = route.request.url.removeprefix(api.url)
        lost.append(api.client.post(path, content=archive.read_bytes(), headers=headers).json()["id"])
        route.abort()

    page.route("**/v1/jobs?*", lose, times=1)
    page.locator("#send").click()
    page.locator("#trouble").wait_for()
    assert page.locator("#trouble").inner_text().startswith("The connection was lost. Nothing is lost: send it again")
    page.locator("#send").click()
    page.wait_for_url("**/jobs/*-*")
    assert page.url.rpartition("/")[2] == lost[0]


def test_too_much_is_said_before_it_is_sent(api: Api, tmp_path: Path, page: Page) -> None:
    large = tmp_path / "large.zip"
    large.write_bytes(b"PK\x03\x04" + bytes(8_000_000))
    page.goto(api.url)
    page.locator("#files").set_input_files(large)
    page.get_by_text("The server takes at most 8 MB.").wait_for()
    assert page.locator("#send").is_disabled()


def test_one_picture_is_answered_at_once(whole: Api, tmp_path: Path, page: Page) -> None:
    picture = tmp_path / "lesion.jpg"
    picture.write_bytes(jpeg(120))
    page.goto(whole.url)
    page.get_by_text("Flags from a risk of").wait_for()
    page.locator("#files").set_input_files(picture)
    page.get_by_role("button", name="Classify this picture").press("Enter")
    page.locator("#answer article").wait_for()
    job = whole.client.get("/v1/jobs").json()["data"][0]
    row = whole.client.get(f"/v1/jobs/{job['id']}/items/0").json()
    verdict = page.locator("#answer .verdict").inner_text()
    assert verdict == f"{'flagged' if row['flag'] else 'not flagged'} risk {row['risk']:.3f}, threshold {job['threshold']:.3f}"
    shown = [line.split() for line in page.locator("#answer tbody tr").all_inner_texts()]
    assert {line[0]: float(line[-2]) for line in shown} == {
        name: pytest.approx(100 * row[f"p_{name}"], abs=0.051) for name in job["classes"]
    }
    page.wait_for_function("() => document.querySelector('#answer img').naturalWidth === 40")
    check_accessibility(page)


def test_a_picture_at_fault_is_explained(whole: Api, tmp_path: Path, page: Page) -> None:
    picture = tmp_path / "half.jpg"
    picture.write_bytes(jpeg(120)[:200])
    page.goto(whole.url)
    page.locator("#files").set_input_files(picture)
    page.get_by_role("button", name="Classify this picture").click()
    page.locator("#trouble").wait_for()
    assert "ends too early" in page.locator("#trouble").inner_text()


def test_models_are_shown(whole: Api, page: Page) -> None:
    page.goto(f"{whole.url}/models")
    assert page.locator(".version h3").first.inner_text().split() == ["Version", "2", "available"]
    assert page.locator(".cells div").first.inner_text().split("\n") == ["Classes", ", ".join(_classes(whole))]
    check_accessibility(page)


def test_drift_of_a_version_is_shown(whole: Api, page: Page) -> None:
    run_with_reference(whole, 400, version=2)
    page.goto(f"{whole.url}/models")
    version = page.locator("#tiny-2")
    assert version.locator("h4").inner_text().split()[-1] == "shifted"
    [drift] = whole.client.get("/v1/models/tiny/drift").json()["data"]
    assert drift["images"] >= 400  # and those of other tests
    shares = [
        [share["name"], f"{100 * share['expected']:.1f} %", f"{100 * share['seen']:.1f} %"] for share in drift["class_shares"]
    ]
    assert [row.split("\t") for row in version.locator("tbody tr").all_inner_texts()] == shares
    check_accessibility(page)


def _classes(whole: Api) -> list[str]:
    found: list[str] = whole.client.get("/v1/models").json()["data"][0]["spec"]["classes"]
    return found


def test_models_without_a_model_server(api: Api, page: Page) -> None:
    page.goto(f"{api.url}/models")
    assert page.locator("h1").inner_text() == "Serving away"
    check_accessibility(page)


def large(path: Path) -> Path:
    """A ZIP of more than a megabyte that no compression makes smaller."""
    return write_zip(path, [(f"{number}.bin", np.random.default_rng(number).bytes(300_000)) for number in range(4)])


def test_a_large_file_goes_on_after_a_reload(api: Api, tmp_path: Path, page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.pages.submit.PART_BYTES", 500_000)
    archive, parts = large(tmp_path / "large.zip"), []

    async def receive_one(request: Any, here: Any, upload: Any) -> Any:
        parts.append(upload.received)
        if len(parts) == 1:
            return await receive_part(request, here, upload)
        raise StorageUnavailableError("the disk is away")

    with monkeypatch.context() as patched:
        patched.setattr("api.routes.uploads.receive_part", receive_one)
        page.goto(api.url)
        page.locator("#files").set_input_files(archive)
        with page.expect_response(lambda answer: answer.status == 503 and answer.request.method == "PATCH"):
            page.get_by_role("button", name="Submit this file").click()
        page.reload()
    page.get_by_text("large.zip: 500 kB of 1.2 MB have come.").wait_for()
    check_accessibility(page)
    page.locator("#files").set_input_files(archive)
    page.get_by_role("button", name="Submit this file").click()
    page.wait_for_url("**/jobs/*")
    key = max(key for key in api.stored() if key.endswith("/archive"))
    reader = api.storage.open(key)
    assert reader.read_at(0, reader.size) == archive.read_bytes()
    reader.close()
    page.goto(api.url)
    assert not page.locator("#unfinished").is_visible()


def test_an_upload_is_paused_and_goes_on(api: Api, tmp_path: Path, page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.pages.submit.PART_BYTES", 100_000)
    held: list[Route] = []
    page.route("**/v1/uploads/*", lambda route: held.append(route) if route.request.method == "PATCH" else route.continue_())
    page.goto(api.url)
    page.locator("#files").set_input_files(large(tmp_path / "large.zip"))
    page.get_by_role("button", name="Submit this file").click()
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("button", name="Go on").wait_for()
    page.unroute("**/v1/uploads/*")
    page.get_by_role("button", name="Go on").click()
    page.wait_for_url("**/jobs/*")
