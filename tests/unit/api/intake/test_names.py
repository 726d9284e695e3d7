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


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("attachment; filename*=UTF-8''na%C3%AFve.zip", "na\u00efve.zip"),
        ("attachment; filename*=ISO-8859-1''na%EFve.zip", "na\u00efve.zip"),
        ("attachment; filename*=utf-8'en'a.zip; filename=b.zip", "a.zip"),
        ("attachment; filename*=idna''" + "a" * 3000, "a" * 3000),
        ("attachment; filename*=a%00b''abc", "abc"),
        ("attachment; filename*=rot13''abc", "abc"),
        ("attachment; filename*=utf-16''%ff%fe", "\ufffd\ufffd"),
        ("attachment; filename*=nonsense''%ff", "\ufffd"),
    ],
    ids=["utf-8", "latin-1", "both", "idna", "nul", "rot13", "utf-16", "nonsense"],
)
def test_the_name_in_a_header_whatever_its_charset(header: str, name: str) -> None:
    assert filename_of(header) == name


PIECES = st.sampled_from(
    ["filename*", "filename", "=", "''", "'", ";", "%00", "%ff", "idna", "utf-8", "utf-7", "\0", '"', "*0*", "a"]
)


@given(st.lists(PIECES | st.text(max_size=3)).map("".join))
def test_no_header_raises(header: str) -> None:
    filename_of(f"attachment; {header}")


@given(st.text())
def test_headers_survive_any_name(name: str) -> None:
    header = content_disposition("attachment", name)
    header.encode("ascii")
    assert "\r" not in header
    assert "\n" not in header
    assert filename_of(header) == clean_filename(name, "file")
