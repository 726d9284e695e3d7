"""File names that clients give: shown, never used as a path."""

from __future__ import annotations

import re
from email.message import Message
from urllib.parse import quote

_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_MAX_CHARACTERS = 255


def clean_filename(name: str, default: str = "archive") -> str:
    """The last part of a path of whatever system, without control characters, at most 255 characters."""
    last = _CONTROL.sub("", name.replace("\\", "/").rstrip("/").rpartition("/")[2]).strip()
    return last[-_MAX_CHARACTERS:] or default


def filename_of(content_disposition: str | None) -> str:
    """The file name in a Content-Disposition header (RFC 6266, `filename*` included); empty if there is none."""
    if not content_disposition:
        return ""
    header = Message()
    header["content-disposition"] = content_disposition
    values = [value for key, value in header.get_params([], "content-disposition") if key.lower() == "filename"]
    # `filename*` comes as a tuple of charset, language and text, and goes before `filename`.
    best = next((value for value in values if isinstance(value, tuple)), values[0] if values else "")
    return _decoded(*best) if isinstance(best, tuple) else best


def _decoded(charset: str | None, _language: str | None, text: str) -> str:
    """The text of `filename*`. RFC 8187 knows UTF-8 alone, old clients ISO-8859-1; any other word is taken for UTF-8, as Python
    has codecs (idna, base64) that are none of text.
    """
    known = (charset or "").lower()
    return text.encode("raw-unicode-escape").decode(known if known == "iso-8859-1" else "utf-8", "replace")


def content_disposition(kind: str, filename: str) -> str:
    """A header for a download: an ASCII name for old clients, the real one percent-encoded (RFC 6266, RFC 8187)."""
    clean = clean_filename(filename, "file")
    plain = re.sub(r'[^ -~]|["\\%]', "_", clean)
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(clean, safe='')}"
