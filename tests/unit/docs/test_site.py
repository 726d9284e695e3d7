"""`make docs` builds a site without a warning, and without anything that a browser would fetch from elsewhere."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.support.servers import ROOT

# Attributes whose address a browser loads by itself. `a href` is not one: it waits for a click.
LOADED = {("link", "href"), ("script", "src"), ("img", "src"), ("source", "src"), ("iframe", "src"), ("object", "data")}


class Loads(HTMLParser):
    """Collects the addresses that a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if (tag, name) in LOADED or name == "srcset"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT / "docs", tmp_path_factory.mktemp("site"))


def build(source: Path, target: Path) -> Path:
    """What `make docs` runs."""
    recipe = re.search(
        r"^docs: .*\n\t\$\(BIN\)/(sphinx-build .*) docs build/docs$", (ROOT / "Makefile").read_text(), re.MULTILINE
    )
    assert recipe is not None
    arguments = recipe[1].split()[1:]
    assert "--fail-on-warning" in arguments
    command = [
        sys.executable,
        "-m",
        "sphinx",
        *arguments,
        "--doctree-dir",
        str(target / "doctrees"),
        str(source),
        str(target / "html"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-3000:]
    return target / "html"


@pytest.mark.timeout(300)
def test_every_page_is_there_and_reached_from_the_index(site: Path) -> None:
    pages = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")}
    assert len(pages) > 25
    index = (site / "index.html").read_text()
    linked = {Path(found) for found in re.findall(r'href="([^"#]+\.html)"', index)}
    assert pages - linked - {Path("index.html")} == set()
    assert (site / "_downloads").is_dir()


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    pages = [*site.rglob("*.html")]
    for page in pages:
        loads = Loads()
        loads.feed(page.read_text())
        assert [found for found in loads.found if re.match(r"(https?:)?//", found)] == [], page.name
    for sheet in site.rglob("*.css"):
        assert re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//[^)]*", sheet.read_text()) == [], sheet.name


def test_a_page_that_loads_from_elsewhere_is_found() -> None:
    loads = Loads()
    loads.feed('<a href="https://x.example"></a><script src="https://x.example/a.js"></script><img src="a.png">')
    assert loads.found == ["https://x.example/a.js", "a.png"]


@pytest.mark.timeout(300)
def test_a_broken_link_fails_the_build(tmp_path: Path) -> None:
    source = tmp_path / "docs"
    source.mkdir()
    shutil.copy(ROOT / "docs/conf.py", source)
    shutil.copytree(ROOT / "docs/_static", source / "_static")
    (source / "index.md").write_text("# Index\n\n[gone](gone.md)\n")
    with pytest.raises(AssertionError, match=r"gone\.md"):
        build(source, tmp_path / "site")
