"""Take the screenshots of this folder: `python docs/screenshots/take_screens.py http://127.0.0.1:8080` beside `dermq demo`.

The pictures are the demo's, which are drawn. Where there are many, colours are reduced to 256, so that the files stay small.
"""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
from pathlib import Path

import httpx2
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

FOLDER = Path(__file__).parent
SIZES = {"desktop": (1280, 800), "phone": (390, 844)}


def main(base: str) -> None:
    """Each page, light and dark, wide and narrow."""
    jobs = httpx2.get(f"{base}/v1/jobs", params={"state": "succeeded"}).json()["data"]
    job = next(each["id"] for each in jobs if each["counts"]["succeeded"] > 20)
    picture = fetch_picture(base, job)
    pages = {"jobs": "/jobs", "job": f"/jobs/{job}", "review": f"/jobs/{job}/review", "models": "/models", "admin": "/admin"}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            for device in SIZES:
                for name, path in pages.items():
                    page = open_page(browser, scheme, device, base + path)
                    if name == "review":
                        page.locator(".tile img").nth(4).wait_for()
                    take(page, f"{name}-{scheme}-{device}")
                page = open_page(browser, scheme, device, f"{base}{pages['review']}?show=flagged")
                page.locator(".tile img").nth(1).wait_for()
                page.get_by_text("More filters").click()
                page.locator(".tile").first.focus()
                page.keyboard.press("Shift+ArrowRight")
                take(page, f"chosen-{scheme}-{device}")
                page = open_page(browser, scheme, device, base)
                take(page, f"submit-{scheme}-{device}", close=False)
                page.locator("#files").set_input_files(picture)
                page.locator("#send").click()
                page.locator("#answer article").wait_for()
                page.locator("#answer").scroll_into_view_if_needed()
                take(page, f"answer-{scheme}-{device}")
                page = open_page(browser, scheme, device, base + pages["review"])
                page.locator(".tile img").first.wait_for()
                page.locator(".tile").nth(2).click()
                page.locator("#detail-item article").wait_for()
                take(page, f"detail-{scheme}-{device}", close=False)
                if page.locator("#detail .saliency").count():  # the model version explains
                    page.get_by_label("Show which places speak for a class").check()
                    page.locator("#detail img.map").wait_for()
                    take(page, f"map-{scheme}-{device}", close=False)
                page.context.close()
        browser.close()


def fetch_picture(base: str, job: str) -> Path:
    """One picture of the demo, as a file to submit."""
    path = Path(tempfile.mkdtemp(prefix="dermq-screens-")) / "lesion.jpg"
    rows = httpx2.get(f"{base}/v1/jobs/{job}/results", params={"sort": "-risk", "limit": 1}).json()["data"]
    path.write_bytes(httpx2.get(f"{base}/v1/jobs/{job}/items/{rows[0]['item']}/original").content)
    return path


def open_page(browser: Browser, scheme: str, device: str, url: str) -> Page:
    """A fresh tab."""
    width, height = SIZES[device]
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme,  # type: ignore[arg-type]
        locale="en-GB",
        timezone_id="UTC",
        reduced_motion="reduce",
    )
    page = context.new_page()
    page.goto(url)
    return page


def take(page: Page, name: str, *, close: bool = True) -> None:
    """Save what is in sight."""
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(500)
    image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    if page.locator("img").count():
        image = image.quantize(256, method=Image.Quantize.MAXCOVERAGE, kmeans=1)
    image.save(FOLDER / f"{name}.png", optimize=True)
    if close:
        page.context.close()


if __name__ == "__main__":
    main(sys.argv[1].rstrip("/"))
