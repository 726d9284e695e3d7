"""Text that can be stored and sent: names of files may hold bytes that are no UTF-8, which Python keeps as lone surrogates."""

from __future__ import annotations


def is_utf8(text: str) -> bool:
    """Whether a text is plain Unicode, without lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def plain_text(text: str) -> str:
    """The text with `\\xNN` for each byte that is no UTF-8, `\\udNNN` for other lone surrogates, and `\\x00` for NUL.

    PostgreSQL's text takes neither, nor does a URL or a stream of UTF-8.
    """
    if not is_utf8(text):
        try:
            text = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        except UnicodeEncodeError:
            text = text.encode("utf-8", "backslashreplace").decode()
    return text.replace("\x00", "\\x00")
