"""A test that the documentation names as its evidence is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.servers import ROOT

_NAMED = re.compile(r"(tests/[\w/]+\.py)(?:::(\w+))?")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def missing(text: str) -> list[str]:
    """What a page names and the tests do not have."""
    return [found[0] for found in _NAMED.finditer(text) if not _is_there(ROOT / found[1], found[2])]


def _is_there(path: Path, name: str | None) -> bool:
    return path.is_file() and (
        name is None or re.search(rf"^ *(async )?def {name}\(", path.read_text(), re.MULTILINE) is not None
    )


@pytest.mark.parametrize("page", PAGES, ids=[page.relative_to(ROOT).as_posix() for page in PAGES])
def test_each_named_test_exists(page: Path) -> None:
    assert missing(page.read_text()) == []


def test_a_name_that_is_nowhere_is_found() -> None:
    assert missing("tests/unit/docs/test_named_tests.py::test_nothing, tests/unit/test_gone.py") == [
        "tests/unit/docs/test_named_tests.py::test_nothing",
        "tests/unit/test_gone.py",
    ]
    assert missing("tests/unit/docs/test_named_tests.py::test_each_named_test_exists") == []
    assert missing("tests/unit/docs/test_named_tests.py::test_each_named") != []  # the beginning of a name is not enough
