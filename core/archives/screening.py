"""What can be said of a member before its bytes are read: names that point outside, and sizes no image may have."""

from __future__ import annotations

import re

from core.errors import ItemErrorCode

Problem = tuple[ItemErrorCode, str]

_UNSAFE = re.compile(r"\A(?:[/\\]|[A-Za-z]:)|(?:\A|[/\\])\.\.(?:[/\\]|\Z)|\0")


def name_problem(name: str) -> Problem | None:
    """UNSAFE_PATH for absolute names, drive letters, '..' parts and NUL, under POSIX and Windows rules alike."""
    # Nearly all names have none of these characters, and each name of a million passes here.
    if ".." not in name and "\0" not in name and name[:1] not in ("/", "\\") and name[1:2] != ":":
        return None
    if _UNSAFE.search(name) is None:
        return None
    return ItemErrorCode.UNSAFE_PATH, "expected a relative name inside the archive, got one that is absolute or points outside"


def size_problem(size: int, max_bytes: int) -> Problem | None:
    """EMPTY or TOO_LARGE by the declared size in bytes."""
    if size == 0:
        return ItemErrorCode.EMPTY, "no bytes at all"
    if size > max_bytes:
        return ItemErrorCode.TOO_LARGE, f"{size:,} bytes, the limit for one image is {max_bytes:,} (DERMQ_IMAGE_MAX_BYTES)"
    return None
