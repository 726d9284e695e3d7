"""Bodies with a Content-Encoding are refused at once (RFC 9110, 8.4.1 and 15.5.16). Archives are compressed already."""

from __future__ import annotations

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from api.errors import UNSUPPORTED_ENCODING, problem_response


class IdentityOnly:
    """Refuses a body with a Content-Encoding, before any of it is read."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            request = Request(scope)
            given = ", ".join(request.headers.getlist("content-encoding")).strip()
            if given.lower() not in ("", "identity"):
                detail = f"expected a body without Content-Encoding, got {given!r}: send the archive or image as it is"
                headers = {"Accept-Encoding": "identity"}
                await problem_response(request, UNSUPPORTED_ENCODING, detail, headers=headers)(scope, receive, send)
                return
        await self._app(scope, receive, send)
