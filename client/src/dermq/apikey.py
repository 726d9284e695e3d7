"""The API key that a command shows: given, or in a file, so that it stands neither in arguments nor in the environment."""

from __future__ import annotations

import os
from pathlib import Path

from dermq.errors import UnreadableError

FILE_VARIABLE = "DERMQ_API_KEY_FILE"
_LARGEST = 4096  # bytes


def read_key(given: str | None) -> str | None:
    """The key itself; None if there is none.

    Args:
        given: a key, or @FILE; else the file that DERMQ_API_KEY_FILE names is read.

    Raises:
        UnreadableError: the file cannot be read, or holds no key. The message never quotes what it holds.
    """
    if given and not given.startswith("@"):
        return given.strip() or None
    named = given[1:] if given else os.environ.get(FILE_VARIABLE)
    if not named:
        return None
    try:
        with Path(named).expanduser().open("rb") as file:
            content = file.read(_LARGEST)
    except OSError as error:
        raise UnreadableError(f"the file of the API key cannot be read: {named}: {error.strerror}") from error
    key = content.strip()
    if not key or any(byte <= 32 or byte >= 127 for byte in key):
        raise UnreadableError(f"the file {named} holds no API key: expected one line such as dq_live_…")
    return key.decode("ascii")
