"""DermQ below a path of a host, such as https://clinic.example/dermq: what DERMQ_API_PUBLIC_URL has behind its host.

Inside the application all addresses begin at its own root. A proxy may take the path away before it passes a request on, or
leave it there: both are understood. Pages and redirects get the path put in front of their addresses.
"""

from __future__ import annotations

import re
from contextvars import ContextVar
from urllib.parse import unquote, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SUBPATH: ContextVar[str] = ContextVar("subpath", default="")
_ADDRESS = re.compile(r'(\s(?:href|src|action)=")/(?!/)')


def subpath_of(public_url: str) -> str:
    """The path of an address, without a slash at its end; empty for a host's root."""
    return urlsplit(public_url).path.rstrip("/")


def with_subpath(page: str) -> str:
    """A page whose own addresses (`href`, `src`, `action`) begin with the path that the request is below."""
    below = SUBPATH.get()
    return _ADDRESS.sub(lambda found: f"{found[1]}{below}/", page) if below else page


class BelowPath:
    """Takes the path off a request, and puts it in front of where a redirect leads."""

    def __init__(self, app: ASGIApp, subpath: str) -> None:
        self._app = app
        self._subpath = subpath
        self._plain = unquote(subpath)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                target = headers.get("location", "")
                if target.startswith("/") and not target.startswith("//"):
                    headers["location"] = self._subpath + target
            await send(message)

        below = SUBPATH.set(self._subpath)
        try:
            await self._app(self._inner(scope), receive, sent)
        finally:
            SUBPATH.reset(below)

    def _inner(self, scope: Scope) -> Scope:
        path = scope["path"]
        if path != self._plain and not path.startswith(f"{self._plain}/"):
            return scope
        raw = scope.get("raw_path") or b""
        return {**scope, "path": path[len(self._plain) :] or "/", "raw_path": raw.removeprefix(self._subpath.encode()) or b"/"}
