"""What every answer has in common: request id, security headers, log line, metrics, faults as problems.

Plain ASGI, so that bodies and streams pass through untouched.
"""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import AbstractContextManager
from typing import Any

import structlog
from fastapi import Request
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import INTERNAL, problem_response
from api.metrics import HTTP_REQUESTS, HTTP_SECONDS
from core.ids import new_id
from core.telemetry import tracing
from core.telemetry.logs import get_logger
from core.telemetry.spans import Kind, Span

_log = get_logger(__name__)

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_ID = re.compile(r"[0-9]{1,10}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})  # asked every few seconds
_LINGER_S = 2.0

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Envelope:
    """Wraps the application. Put it outside of everything else."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send)
        with structlog.contextvars.bound_contextvars(request_id=exchange.request_id), exchange.traced() as span:
            try:
                await self._app(scope, exchange.receive, exchange.send)
            except Exception:
                _log.exception("request failed", method=scope["method"], path=scope["path"])
                if exchange.status is not None:
                    raise  # too late for another answer: the server closes the connection, so that the client sees a broken one
                response = problem_response(
                    Request(scope), INTERNAL, "DermQ failed on this request; its logs say why, under the request id"
                )
                await response(scope, exchange.receive, exchange.send)
            finally:
                exchange.record(span)


def _without_names(template: str, values: dict[str, Any]) -> str:
    """An address for the log: ids and numbers as they are. A file's name, or what is no id, may say who a patient is."""
    for name, value in values.items():
        if _ID.fullmatch(str(value)):
            template = template.replace(f"{{{name}}}", str(value))
    return template


class _Exchange:
    """One request and its answer."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._begun = time.perf_counter()
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"").decode("latin-1")
        self.request_id = given if _REQUEST_ID.fullmatch(given) else str(new_id())
        scope.setdefault("state", {})["request_id"] = self.request_id
        self.status: int | None = None
        self._body_open = b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"
        self._body_asked_for = b"expect" not in headers  # with Expect: 100-continue the client waits until it is

    async def receive(self) -> Message:
        self._body_asked_for = True
        message = await self._receive()
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            self._body_open = False
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(raw=message.setdefault("headers", []))
            headers["X-Request-ID"] = self.request_id
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        elif not message.get("more_body", False) and self._body_open and self._body_asked_for:
            await self._send({**message, "more_body": True})
            await self._linger()
            message = {"type": "http.response.body", "body": b"", "more_body": False}
        await self._send(message)

    async def _linger(self) -> None:
        """Take in what the client still sends, for a while: closing on unread bytes would reset the connection."""
        try:
            async with asyncio.timeout(_LINGER_S):
                while self._body_open:
                    await self.receive()
        except TimeoutError:
            return

    def traced(self) -> AbstractContextManager[Span]:
        """The request's span, below the caller's if it sent one (W3C Trace Context); none for probes."""
        if self._scope["path"] in _QUIET:
            return tracing.no_span()
        given = dict(self._scope["headers"]).get(b"traceparent")
        return tracing.span(self._scope["method"], Kind.SERVER, given.decode("latin-1") if given else None)

    def record(self, span: Span) -> None:
        """Log, count, and say in the trace what it was."""
        seconds = time.perf_counter() - self._begun
        method, path = self._scope["method"], self._scope["path"]
        route: Any = self._scope.get("route")
        template = getattr(route, "path", "(none)")
        known = method if method in ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH") else "(other)"
        status = self.status or 0
        HTTP_REQUESTS.labels(known, template, str(status)).inc()
        HTTP_SECONDS.labels(known, template).observe(seconds)
        span.rename(f"{known} {template}")
        span.set({"http.request.method": known, "http.route": template, "http.response.status_code": status})
        if status >= 500 or not status:
            span.fail(str(status))
        level = "debug" if path in _QUIET and status < 400 else "info"
        shown = _without_names(template, self._scope.get("path_params", {}))
        getattr(_log, level)(
            "request", request_id=self.request_id, method=method, path=shown, status=status, seconds=round(seconds, 4)
        )
