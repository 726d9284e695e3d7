"""The documentation uses the words of the field: no metaphors of our own for brokers, packages and dependencies."""

from __future__ import annotations

import re

import pytest

from tests.support.servers import ROOT

INVENTED = re.compile(r"\b(doorbell|drawer|tether\w*|machinery|front door|reckon\w*|sweeper's bell)\b", re.IGNORECASE)
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in [
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "examples").glob("*.md"),
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
    ]
)


@pytest.mark.parametrize("page", PAGES)
def test_no_word_is_invented(page: str) -> None:
    found = [(number, line) for number, line in enumerate((ROOT / page).read_text().splitlines(), 1) if INVENTED.search(line)]
    assert found == []


def test_an_invented_word_is_found() -> None:
    assert INVENTED.search("Redis is the Doorbell")
    assert not INVENTED.search("Redis carries wake-up messages")
