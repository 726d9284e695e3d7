"""What all pages have in common: headers, files, errors, and nothing from elsewhere."""

from __future__ import annotations

import re
import uuid
from pathlib import Path

import pytest

import api.pages
from tests.integration.api.conftest import Api, problem
from tests.integration.api.pages.conftest import Page

FOLDER = Path(api.pages.__file__).parent
ADDRESSES = ("/jobs", f"/jobs/{uuid.UUID(int=0)}", "/jobs?state=none")


@pytest.mark.parametrize("path", ADDRESSES, ids=["list", "missing-job", "unknown-state"])
def test_pages_allow_nothing_inline_and_no_other_host(api: Api, path: str) -> None:
    headers = api.client.get(path).headers
    policy = headers["content-security-policy"]
    assert "unsafe" not in policy
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert re.findall(r"https?:", policy) == []
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"


def test_templates_hold_no_inline_style_or_script() -> None:
    templates = sorted((FOLDER / "templates").glob("*.html"))
    assert len(templates) >= 6
    for path in templates:
        text = path.read_text()
        assert re.findall(r"\sstyle=|\son[a-z]+=\"|<style|<script>|javascript:|https?://", text) == [], path.name


def test_own_modules_are_small() -> None:
    """What a page loads is 40 kB of code at most, without comments and indentation."""
    modules = {path.name: path.read_text() for path in (FOLDER / "static").glob("*.js")}
    comments = re.compile(r"^\s*//[^\n]*\n|/\*\*.*?\*/|^ +", re.MULTILINE | re.DOTALL)
    for name in ("jobs.js", "job.js", "submit.js", "review.js", "plain.js", "saliency.js"):
        assert sum(len(comments.sub("", modules[each])) for each in _imported(name, modules)) <= 40_000, name


def test_all_own_modules_are_small_on_their_way(api: Api) -> None:
    """All modules of all pages together are 40 kB at most as a browser gets them: compressed."""
    names = [path.name for path in (FOLDER / "static").glob("*.js")]
    assert len(names) >= 15
    sent = [api.client.get(f"/static/{name}", headers={"Accept-Encoding": "gzip"}).headers["content-length"] for name in names]
    assert sum(map(int, sent)) <= 40_000


def _imported(name: str, modules: dict[str, str]) -> set[str]:
    """A module and all that it imports."""
    found = re.findall(r"(?:from|import) \"\./(\w+\.js)\"", modules[name])
    return {name}.union(*(_imported(each, modules) for each in found))


def test_files_are_sent_with_an_etag(api: Api) -> None:
    for name, kind in (("pages.css", "text/css"), ("page.js", "text/javascript"), ("icon.svg", "image/svg+xml")):
        first = api.client.get(f"/static/{name}", headers={"Accept-Encoding": "identity"})
        assert first.content == (FOLDER / "static" / name).read_bytes()
        assert first.headers["content-type"].startswith(kind)
        assert first.headers["x-content-type-options"] == "nosniff"
        plain = {"Accept-Encoding": "identity", "If-None-Match": first.headers["etag"]}
        again = api.client.get(f"/static/{name}", headers=plain)
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])


def test_files_are_compressed_where_the_browser_takes_it(api: Api) -> None:
    own = (FOLDER / "static" / "page.js").read_bytes()
    for accepted, encoding in (
        ("gzip, deflate, br", "gzip"),
        ("br;q=1.0, GZIP;q=0.5", "gzip"),
        ("gzip;q=0, deflate", None),
        ("gzip;q=0.000", None),
        ("x-gzip", None),
        ("identity", None),
    ):
        answer = api.client.get("/static/page.js", headers={"Accept-Encoding": accepted})
        assert (answer.headers.get("content-encoding"), answer.content) == (encoding, own), accepted  # the client unpacks
        assert answer.headers["vary"] == "Accept-Encoding"
        length = int(answer.headers["content-length"])
        assert length < len(own) / 2 if encoding else length == len(own), accepted
        cached = {"Accept-Encoding": accepted, "If-None-Match": answer.headers["etag"]}
        assert api.client.get("/static/page.js", headers=cached).status_code == 304
        other = {"Accept-Encoding": "identity" if encoding else "gzip", "If-None-Match": answer.headers["etag"]}
        assert api.client.get("/static/page.js", headers=other).status_code == 200


@pytest.mark.parametrize("name", ["none.js", "..%2Frendering.py", "%2e%2e%2ftemplates%2fbase.html", ".", "page.js%00"])
def test_no_other_file_is_sent(api: Api, name: str) -> None:
    problem(api.client.get(f"/static/{name}"), 404, "not_found")


def test_pages_answer_under_known_names_only(api: Api) -> None:
    problem(api.client.get("/jobs", headers={"Host": "evil.example"}), 421, "unknown_host")
    problem(api.client.get("/static/page.js", headers={"Host": "evil.example"}), 421, "unknown_host")


def test_what_is_missing_is_a_page_with_its_status(api: Api) -> None:
    answer = api.client.get(f"/jobs/{uuid.UUID(int=7)}")
    assert answer.status_code == 404
    assert "<h1>Not found</h1>" in answer.text
    assert f"no job {uuid.UUID(int=7)}" in answer.text
    assert answer.headers["x-request-id"] in answer.text
    refused = api.client.get("/jobs", params={"staet": "running"})
    assert refused.status_code == 422
    assert "did you mean state?" in refused.text


def test_docs_need_no_other_host(api: Api, page: Page) -> None:
    hosts = set()
    page.on("request", lambda request: hosts.add(request.url.split("/")[2]) if not request.url.startswith("data:") else None)
    page.goto(f"{api.url}/docs")
    page.get_by_text("/v1/jobs/{job_id}/histogram").wait_for()
    assert hosts == {f"127.0.0.1:{api.settings.api.port}"}
