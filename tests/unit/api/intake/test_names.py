"""File names from clients are shown, and sent back, but never do harm."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.intake.names import clean_filename, content_disposition, filename_of


@pytest.mark.parametrize(
    ("given_name", "clean"),
    [
        ("a.zip", "a.zip"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\a b.zip", "a b.zip"),
        ("folder/", "folder"),
        ("a\r\nSet-Cookie: x", "aSet-Cookie: x"),
        ("\ud800", "archive"),
        ("  ", "archive"),
        ("", "archive"),
        ("x" * 300 + ".zip", "x" * 251 + ".zip"),
    ],
)
def test_clean_filename(given_name: str, clean: str) -> None:
    assert clean_filename(given_name) == clean


@given(st.text())
def test_headers_survive_any_name(name: str) -> None:
    header = content_disposition("attachment", name)
    header.encode("ascii")
    assert "\r" not in header
    assert "\n" not in header
    assert filename_of(header) == clean_filename(name, "file")
