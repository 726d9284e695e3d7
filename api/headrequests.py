"""HEAD wherever GET is (RFC 9110, 9.1: both are required of a server): the same answer without its body."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SET_BY_THE_ROUTER = ("route", "endpoint", "path_params")


class HeadAsGet:
    """Lets the application answer a HEAD as a GET, sends the headers on, and ends a stream at its first byte."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        # Up to this version of ASGI a streaming answer watches for a client that leaves, and ends for it.
        inner = {**scope, "method": "GET", "asgi": {**scope.get("asgi", {}), "spec_version": "2.3"}}
        answer = _Headers(receive, send)
        try:
            await self._app(inner, answer.receive, answer.send)
        finally:
            scope.update({name: inner[name] for name in _SET_BY_THE_ROUTER if name in inner})  # for log and metrics


class _Headers:
    """One exchange, of which only the headers go out. To the application the client leaves when they have."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._sent = asyncio.Event()
        self._body_taken = False

    async def receive(self) -> Message:
        if not self._body_taken:
            self._body_taken = True
            return await self._receive()
        await self._sent.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            await self._send(message)
        elif not self._sent.is_set():
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
            self._sent.set()
        else:
            await asyncio.sleep(0)  # so that the stream, which the lost client ends, comes to its end
