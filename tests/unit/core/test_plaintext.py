"""Text that any database, URL and stream takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.plaintext import is_utf8, plain_text


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("läsion.zip", "läsion.zip"),
        ("sk\udcffin.zip", r"sk\xffin.zip"),
        ("lone\ud800", r"lone\ud800"),
        ("nul\x00", r"nul\x00"),
        ("line\nbreak", "line\nbreak"),
    ],
)
def test_plain_text(text: str, plain: str) -> None:
    assert plain_text(text) == plain


@given(st.text(st.characters(exclude_categories=()), max_size=20))
def test_any_text_can_be_sent_and_stored(text: str) -> None:
    plain = plain_text(text)
    assert is_utf8(plain)
    assert "\x00" not in plain
    assert plain == text or not is_utf8(text) or "\x00" in text
