"""Keeps other web sites' pages away. Without keys, what a browser on this machine can reach, a hostile page could try to use.

DNS rebinding: a page of evil.example lets that name point to this server, and the browser takes both for one site. So the
server answers only under names that the operator knows: loopback names, the public address, DERMQ_API_ALLOWED_HOSTS. An IP
address as Host is no name that somebody could let point elsewhere: the probes and scrapers of Docker, Kubernetes and Prometheus
come that way. /healthz and /readyz answer under every name, and without one: they show nothing of jobs, and load balancers send
what they like.

Cross-site requests: a browser says where a request comes from (Fetch Metadata's `Sec-Fetch-Site`; `Origin`), and changes are
taken from the own site only: the site under whose name the server was asked, or the one of the public address, as a proxy in
front may pass another Host on. A port that is the scheme's own may be left out (RFC 6454, 6.1). Programs such as curl send
neither header and are not concerned.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from api.errors import CROSS_SITE, UNKNOWN_HOST, Kind, problem_response
from core.hosts import is_loopback
from core.settings import ApiSettings

_PORTS = {"http": 80, "https": 443}
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_PROBED = frozenset({"/healthz", "/readyz"})


class OwnSiteOnly:
    """Refuses requests that a page of another site has made."""

    def __init__(self, app: ASGIApp, settings: ApiSettings) -> None:
        self._app = app
        public = _hostname(urlsplit(settings.public_url).netloc)
        self._names = frozenset({public, *settings.allowed_hosts} - {""})
        self._public = _site(settings.public_url) if public else None

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
        if self._is_known(name) or request.scope["path"] in _PROBED:
            return None
        return UNKNOWN_HOST, (
            f"this server does not answer under the name {name!r} in the Host header: the operator may add it to "
            "DERMQ_API_ALLOWED_HOSTS, or set DERMQ_API_PUBLIC_URL where a proxy stands in front"
        )

    def _is_known(self, name: str) -> bool:
        if name in self._names or is_loopback(name) or _is_address(name):
            return True
        parents = name.split(".")[1:]
        return any(f"*.{'.'.join(parents[at:])}" in self._names for at in range(len(parents)))

    def _is_own(self, origin: str, request: Request) -> bool:
        site = _site(origin)
        if site is None:  # "null": a sandboxed or local page
            return False
        return site == self._public or site == _site(f"{site[0]}://{request.headers.get('host', '')}")

    def _site_refusal(self, request: Request) -> tuple[Kind, str] | None:
        if request.method in _READING:
            return None
        site = request.headers.get("sec-fetch-site")
        origin = request.headers.get("origin")
        if site in ("same-origin", "none") if site is not None else origin is None or self._is_own(origin, request):
            return None
        return CROSS_SITE, f"a page of {origin or 'another site'} may not send {request.method} requests to this server"


def _site(url: str) -> tuple[str, str, int | None] | None:
    """Scheme, host and port of an address, with the scheme's own port where it names none; None if it is no address."""
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:  # a port or an IPv6 address that is none
        return None
    return (parts.scheme, parts.hostname.rstrip("."), port) if parts.hostname else None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _hostname(host: str) -> str:
    """The name or address in a Host header, in lower case, without port, brackets and a dot at its end; "" if there is none."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:  # an IPv6 address that is none
        return ""
