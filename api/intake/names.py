"""File names that clients give: shown, never used as a path."""

from __future__ import annotations

import re
from email.message import Message
from email.utils import collapse_rfc2231_value
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
    return collapse_rfc2231_value(best)


def content_disposition(kind: str, filename: str) -> str:
    """A header for a download: an ASCII name for old clients, the real one percent-encoded (RFC 6266, RFC 8187)."""
    clean = clean_filename(filename, "file")
    plain = re.sub(r'[^ -~]|["\\%]', "_", clean)
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(clean, safe='')}"
