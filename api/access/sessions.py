"""The cookie of a page's session.

`__Host-`: browsers take it only over HTTPS (or from loopback), for this host alone and for all its paths. Scripts cannot read
it, and no other site's page makes a browser send it.
"""

from __future__ import annotations

from contextvars import ContextVar
from datetime import timedelta

from fastapi import Response

COOKIE = "__Host-dermq"
LIFETIME = timedelta(hours=8)  # a working day

# The name of the key with which the reader of a page has signed in; None without a session.
SIGNED_IN: ContextVar[str | None] = ContextVar("SIGNED_IN", default=None)

# Whether whoever reads a page may administer: signed in with such a key, or on a machine that asks for none.
IS_ADMIN: ContextVar[bool] = ContextVar("IS_ADMIN", default=False)


def set_cookie(response: Response, token: str) -> None:
    """Hand a session to the browser."""
    seconds = int(LIFETIME.total_seconds())
    response.set_cookie(COOKIE, token, max_age=seconds, path="/", secure=True, httponly=True, samesite="strict")


def clear_cookie(response: Response) -> None:
    """Take the session from the browser."""
    response.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="strict")
