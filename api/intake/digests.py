"""`Content-Digest` (RFC 9530): the hash of a body, by which a client finds that it came as it was sent."""

from __future__ import annotations

import base64
import binascii
import re

from starlette.requests import Request

from core.errors import InvalidRequestError

_SHA256 = re.compile(r"(?:^|,)\s*sha-256\s*=\s*:([A-Za-z0-9+/=]*):")


def announced_digest(request: Request) -> bytes | None:
    """The SHA-256 that the request names; None where it names none. Other algorithms are passed over (RFC 9530, 2).

    Raises:
        InvalidRequestError: it is no SHA-256.
    """
    found = _SHA256.search(request.headers.get("content-digest", ""))
    if found is None:
        return None
    try:
        digest = base64.b64decode(found.group(1), validate=True)
    except binascii.Error:
        digest = b""
    if len(digest) != 32:
        raise InvalidRequestError("Content-Digest: expected sha-256=:BASE64: of 32 bytes")
    return digest


def check_digest(expected: bytes | None, sha256: str) -> None:
    """Compare what was announced with what came.

    Args:
        expected: of `announced_digest`.
        sha256: of the bytes that came, in hex.

    Raises:
        InvalidRequestError: the body is another one.
    """
    if expected is not None and expected.hex() != sha256:
        raise InvalidRequestError(
            f"Content-Digest: expected a body of SHA-256 {expected.hex()}, got one of {sha256}: it was damaged on its way; "
            "send it again"
        )
