"""Keeps other web sites' pages away. Without keys, what a browser on this machine can reach, a hostile page could try to use.

DNS rebinding: a loopback server answers only under loopback names and the operator's public one. Cross-site requests: a browser
says where a request comes from (Fetch Metadata's `Sec-Fetch-Site`; `Origin`), and changes are taken from the own site only.
Programs such as curl send neither header and are not concerned.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from api.binding import is_loopback
from api.errors import Kind, problem_response
from core.settings import ApiSettings

UNKNOWN_HOST = Kind(421, "unknown_host", "Unknown host", "The server does not answer under the name in the Host header.")
CROSS_SITE = Kind(403, "cross_site", "Cross-site request", "A page of another site may not change anything here.")

_READING = frozenset({"GET", "HEAD", "OPTIONS"})


class OwnSiteOnly:
    """Refuses requests that a page of another site has made."""

    def __init__(self, app: ASGIApp, settings: ApiSettings) -> None:
        self._app = app
        self._public_host = urlsplit(settings.public_url).hostname
        self._checks_host = is_loopback(settings.host) and not settings.allow_unauthenticated

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = None
        if scope["type"] == "http":
            request = Request(scope)
            refusal = self._host_refusal(request) or self._site_refusal(request)
            if refusal is not None:
                await problem_response(request, *refusal)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _host_refusal(self, request: Request) -> tuple[Kind, str] | None:
        name = _hostname(request.headers.get("host", ""))
        if not self._checks_host or is_loopback(name) or (self._public_host is not None and name == self._public_host):
            return None
        return UNKNOWN_HOST, (
            f"this server answers under loopback names only, got Host {name!r}: an operator with a proxy in front of it sets "
            "DERMQ_API_PUBLIC_URL"
        )

    def _site_refusal(self, request: Request) -> tuple[Kind, str] | None:
        if request.method in _READING:
            return None
        site = request.headers.get("sec-fetch-site")
        origin = request.headers.get("origin")
        host = request.headers.get("host", "")
        own = site in ("same-origin", "none") if site is not None else origin is None or urlsplit(origin).netloc == host
        if own:
            return None
        return CROSS_SITE, f"a page of {origin or 'another site'} may not send {request.method} requests to this server"


def _hostname(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:  # an IPv6 address that is none
        return ""
