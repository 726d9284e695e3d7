"""`python -m benchmarks.review`: the review of a large job in Chromium. First row, frames while it scrolls, a decision, weight.

A job of `--items` made-up rows is written into a SQLite ledger of its own; the API serves it; Chromium, without a window, opens
its review. The pictures do not exist: a tile stays grey, as it does while one scrolls past it. The last line
is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import threading
import time
import uuid
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from api.__main__ import make_server
from benchmarks.ledger import CLASSES, MALIGNANT, classify
from core.archives.base import ArchiveKind, ArchiveRef
from core.clock import SystemClock
from core.db.chunks import claim_chunk, finish_chunk
from core.db.engine import open_engine, transaction
from core.db.jobs import NewJob, create_job
from core.db.models import LOCAL_TENANT_ID
from core.db.preparing import ChunkPlan, PreparedJob, claim_prepare, start_job
from core.db.schema.migrate import upgrade
from core.db.window import WindowPolicy
from core.settings import ApiSettings, DatabaseSettings, DataSettings, Settings

SPEC: dict[str, Any] = {
    "name": "drawn",
    "classes": list(CLASSES),
    "malignant": [CLASSES[place] for place in MALIGNANT],
    "thresholds": {"sensitive": 0.2},
    "operating_point": "sensitive",
}
_CHUNK = 5000
_SCROLL_S = 3.0
_DECISIONS = 15
# Scrolls a step with each frame; gives the lengths of the frames in ms.
_SCROLL = """seconds => new Promise(done => {
  const scroller = document.querySelector("#scroller"), times = [];
  let last = performance.now(); const begun = last;
  const step = now => {
    times.push(now - last); last = now; scroller.scrollTop += 60;
    if (now - begun < 1000 * seconds) requestAnimationFrame(step); else done(times.slice(1));
  };
  requestAnimationFrame(step);
})"""
_WEIGHT = """() => performance.getEntries().filter(each => each.transferSize !== undefined && each.name.startsWith("http"))
  .map(each => [new URL(each.name).pathname, each.transferSize])"""


def main() -> None:
    """Make the job, open its review some times, print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--port", type=int, default=18998)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dermq-review-") as folder:
        settings = Settings(
            data=DataSettings(data_dir=Path(folder)), database=DatabaseSettings(), api=ApiSettings(port=given.port)
        )
        job = make_job(settings, given.items)
        server = make_server(settings)
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            while not server.started:
                time.sleep(0.05)
            print(json.dumps(measure(f"http://127.0.0.1:{given.port}/jobs/{job}/review", given.items, given.rounds)))
        finally:
            server.should_exit = True
            thread.join()


def make_job(settings: Settings, items: int) -> uuid.UUID:
    """A job whose rows are all there."""
    engine, clock = open_engine(settings.database_url, settings.database), SystemClock()
    upgrade(engine)
    with transaction(engine) as session:
        new = NewJob(LOCAL_TENANT_ID, "large.zip", {"kind": "path", "path": "/large.zip"}, "drawn")
        job = create_job(session, new, clock.now()).id
    ref = ArchiveRef(ArchiveKind.ZIP, "storage", "k", "large.zip")
    plans = [ChunkPlan(at, min(_CHUNK, items - at), 0, 0) for at in range(0, items, _CHUNK)]
    with transaction(engine) as session:
        claim = claim_prepare(session, job, owner="bench", now=clock.now(), lease_s=60)
        if claim is None:
            raise AssertionError("the job has just been made")
        prepared = PreparedJob(archive=ref.to_json(), version=1, modelspec=SPEC, skipped=0, chunks=plans)
        start_job(session, claim, prepared, WindowPolicy(window=10_000, republish_s=30), clock.now())
    for number in range(len(plans)):
        with transaction(engine) as session:
            chunk = claim_chunk(session, job, number, owner="bench", now=clock.now(), lease_s=60)
            if chunk is None:
                raise AssertionError("nobody else claims it")
            finish_chunk(session, chunk, list(classify(chunk.item_numbers)), clock.now())
    engine.dispose()
    return job


def measure(url: str, items: int, rounds: int) -> dict[str, Any]:
    """Medians of some visits, each in a fresh browser context."""
    visits = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for number in range(rounds):
            context = browser.new_context(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
            page = context.new_page()
            visits.append(visit(page, url, f"Reader {number}"))
            context.close()
        browser.close()
    figures = {key: round(statistics.median(each[key] for each in visits), 1) for key in visits[0]}
    first = round(visits[0]["first_row_ms"], 1)
    return {"items": items, "rounds": rounds, "first_visit_ms": first, **figures}


def visit(page: Page, url: str, reader: str) -> dict[str, float]:
    """One visit: from the request to the first tile, scrolling, decisions one after the other."""
    begun = time.perf_counter()
    page.goto(url, wait_until="commit")
    page.locator(".tile").first.wait_for()
    first_row_s = time.perf_counter() - begun
    weight = page.evaluate(_WEIGHT)
    frames = page.evaluate(_SCROLL, _SCROLL_S)
    page.locator("#reviewer").fill(reader)
    page.evaluate("document.querySelector('#scroller').scrollTop = 0")
    page.locator('.tile[tabindex="0"]').focus()
    saved = []
    for _ in range(_DECISIONS):
        with page.expect_response("**/decisions?read=1") as answer:
            page.keyboard.press("x")
        answer.value.finished()
        saved.append(answer.value.request.timing["responseEnd"])
    code = sum(size for path, size in weight if path.startswith("/static/"))
    return {
        "first_row_ms": 1000 * first_row_s,
        "frames_per_s": 1000 / statistics.mean(frames),
        "slowest_5_percent_frame_ms": sorted(frames)[int(0.95 * len(frames))],
        "decision_ms": statistics.median(saved),
        "requests": len(weight),
        "page_kb": sum(size for path, size in weight if not path.startswith("/v1/")) / 1000,
        "code_kb": code / 1000,
        "rows_kb": sum(size for path, size in weight if path.startswith("/v1/")) / 1000,
    }


if __name__ == "__main__":
    main()
