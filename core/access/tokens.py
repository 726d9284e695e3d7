"""The form of an API key: `dq_live_`, 43 characters of secret, 6 of checksum.

The secret has 256 random bits. Both parts are base62 (0-9, A-Z, a-z). The checksum is the CRC-32 of all that stands before it:
a mistyped key is refused without a question to the database, and a scanner for secrets finds no false ones. Only the SHA-256 of
a key is stored: with 256 random bits a slow hash would add nothing.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import zlib

PREFIX = "dq_live_"
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SECRET_LENGTH, _CHECKSUM_LENGTH = 43, 6  # 62**43 > 2**256, 62**6 > 2**32
_HINT_LENGTH = len(PREFIX) + 4
_FORM = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{_SECRET_LENGTH + _CHECKSUM_LENGTH}}}")


def new_token() -> str:
    """A new key, from the operating system's random numbers."""
    body = PREFIX + _base62(secrets.randbits(256), _SECRET_LENGTH)
    return body + _checksum(body)


def is_token(text: str) -> bool:
    """Whether a text has the form of a key, with a checksum that fits."""
    return _FORM.fullmatch(text) is not None and text[-_CHECKSUM_LENGTH:] == _checksum(text[:-_CHECKSUM_LENGTH])


def digest(secret: str) -> str:
    """SHA-256 of a key or of a session's cookie, 64 hexadecimal digits: what the ledger has of it."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def hint(token: str) -> str:
    """The beginning of a key, by which its owner knows it again: `dq_live_` and 24 of its 256 bits."""
    return token[:_HINT_LENGTH]


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECKSUM_LENGTH)


def _base62(number: int, length: int) -> str:
    digits = ""
    for _ in range(length):
        number, rest = divmod(number, 62)
        digits = _DIGITS[rest] + digits
    return digits
