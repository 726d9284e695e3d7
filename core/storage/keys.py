"""What a key may be: the same rule for every storage, so that what one accepts the other does too."""

from __future__ import annotations

MAX_KEY_BYTES = 1024  # the limit of S3


def check_key(key: str) -> str:
    """The key itself, if it is a relative POSIX path that stays below its root.

    Raises:
        ValueError: empty, absolute, too long, with a control character, or with an empty, '.' or '..' part.
    """
    parts = key.split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise ValueError(f"expected a relative POSIX path without empty, '.' or '..' parts as storage key, got {key!r}")
    if any(ord(character) < 32 or ord(character) == 127 for character in key):
        raise ValueError(f"expected a storage key without control characters, got {key!r}")
    if len(key.encode("utf-8", "surrogateescape")) > MAX_KEY_BYTES:
        raise ValueError(f"expected a storage key of at most {MAX_KEY_BYTES} bytes, got {len(key)} characters: {key[:80]!r}…")
    return key
