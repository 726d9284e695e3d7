"""Sends calls over HTTP, sends them again where that is safe, and turns what comes back into values or errors."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from typing import Any, TypeVar

import httpx2

from dermq.answers import problem_of, read_object
from dermq.calls import Body, Call
from dermq.connection import Address, environment_proxy, is_locked_proxy, locked_proxy, unusable_proxy
from dermq.errors import DermqError, UnreachableError
from dermq.retries import Attempts, Retries
from dermq.steps import End, Pause, Steps, T, advance

_LOST = (httpx2.TransportError, httpx2.InvalidURL)  # no answer came
_UNUSABLE = (ValueError, ImportError)  # an unknown kind of proxy, or one whose package is absent
_SHORTEST_S = 0.2  # of a wait for an answer, also where the time is over
_Http = TypeVar("_Http", httpx2.Client, httpx2.AsyncClient)


class Transport:
    """A connection to one server.

    Args:
        address: where, and how.
        retries: how often a call is sent again.
        sleep: waits some seconds between two tries.
    """

    def __init__(self, address: Address, retries: Retries, sleep: Callable[[float], None] = time.sleep) -> None:
        self.url = address.url
        self._address = address
        self.retries = retries
        self._sleep = sleep
        self._http = _open(httpx2.Client, httpx2.HTTPTransport, address)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def send(self, call: Call) -> httpx2.Response:
        """The answer to a call.

        Raises:
            ProblemError: the server refused.
            UnreachableError: no answer came, however often it was tried.
        """
        attempts = Attempts(self.retries, once=call.once, deadline=call.deadline)
        while True:
            try:
                return _checked(self._http.send(_request(self._http, call, call.body and call.body())))
            except (DermqError, *_LOST) as error:
                pause = attempts.pause_after(error)
                if pause is None:
                    raise _final(self._address, error) from error
                self._sleep(pause)

    def get_object(self, call: Call) -> dict[str, Any]:
        """The JSON object that answers a call."""
        return read_object(self.send(call))

    def run(self, steps: Steps[T]) -> T:
        """Send what some steps ask for, one request after the other; returns what they return.

        Raises:
            DermqError: the steps ended with it.
        """
        came: httpx2.Response | DermqError | None = None
        with closing(steps):
            while not isinstance(now := advance(steps, came), End):
                if isinstance(now, Pause):
                    self._sleep(now.seconds)
                    came = None
                    continue
                try:
                    came = self.send(now)
                except DermqError as error:
                    came = error
            return now.value

    @contextmanager
    def stream(self, call: Call) -> Iterator[httpx2.Response]:
        """The answer to a call, its body not read yet. Sent once."""
        try:
            with self._http.stream(call.method, call.path, params=call.parameters or None, headers=call.headers) as response:
                if response.is_error:
                    response.read()
                    raise problem_of(response)
                yield response
        except _LOST as error:
            raise _final(self._address, error) from error


class AsyncTransport:
    """As `Transport`, for asyncio."""

    def __init__(self, address: Address, retries: Retries) -> None:
        self.url = address.url
        self._address = address
        self.retries = retries
        self._http = _open(httpx2.AsyncClient, httpx2.AsyncHTTPTransport, address)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def send(self, call: Call) -> httpx2.Response:
        """See Transport.send."""
        attempts = Attempts(self.retries, once=call.once, deadline=call.deadline)
        while True:
            try:
                return _checked(await self._http.send(_request(self._http, call, call.body and _in_thread(call.body))))
            except (DermqError, *_LOST) as error:
                pause = attempts.pause_after(error)
                if pause is None:
                    raise _final(self._address, error) from error
                await asyncio.sleep(pause)

    async def get_object(self, call: Call) -> dict[str, Any]:
        """The JSON object that answers a call."""
        return read_object(await self.send(call))

    async def run(self, steps: Steps[T]) -> T:
        """See Transport.run. The steps themselves, which read from the disk, are taken in a thread."""
        came: httpx2.Response | DermqError | None = None
        while not isinstance(now := await asyncio.to_thread(advance, steps, came), End):
            if isinstance(now, Pause):
                await asyncio.sleep(now.seconds)
                came = None
                continue
            try:
                came = await self.send(now)
            except DermqError as error:
                came = error
        return now.value

    @asynccontextmanager
    async def stream(self, call: Call) -> AsyncIterator[httpx2.Response]:
        """See Transport.stream."""
        try:
            async with self._http.stream(
                call.method, call.path, params=call.parameters or None, headers=call.headers
            ) as response:
                if response.is_error:
                    await response.aread()
                    raise problem_of(response)
                yield response
        except _LOST as error:
            raise _final(self._address, error) from error


def _open(client: Callable[..., _Http], direct: Callable[..., Any], address: Address) -> _Http:
    """A client of httpx2; `direct` makes the transport that passes every proxy by."""
    try:
        options = dict(address.options)
        if address.direct:
            options["transport"] = direct(verify=options["verify"])
        return client(**options)
    except _UNUSABLE as error:
        raise unusable_proxy(error) from error


def _final(address: Address, error: Exception) -> Exception:
    if isinstance(error, DermqError):
        return error
    if is_locked_proxy(error):
        return locked_proxy()
    proxy = environment_proxy(address) if isinstance(error, httpx2.ConnectError) else ""
    return UnreachableError(address.url, error, f"; the environment names the proxy {proxy} for it" if proxy else "")


def _request(http: httpx2.Client | httpx2.AsyncClient, call: Call, body: Any) -> httpx2.Request:
    content = body if call.body else call.content
    more: dict[str, Any] = {}
    if call.deadline is not None:
        more["timeout"] = _within(http.timeout, max(call.deadline - time.monotonic(), _SHORTEST_S))
    return http.build_request(
        call.method, call.path, params=call.parameters or None, headers=call.headers, content=content, **more
    )


def _within(limits: httpx2.Timeout, left_s: float) -> httpx2.Timeout:
    return httpx2.Timeout(**{of: left_s if limit is None else min(limit, left_s) for of, limit in limits.as_dict().items()})


def _checked(response: httpx2.Response) -> httpx2.Response:
    if response.is_success:
        return response
    raise problem_of(response)


async def _in_thread(body: Body) -> AsyncIterator[bytes]:
    """A body whose blocks are read from the disk in a thread, so that the event loop goes on."""
    blocks = body()
    while (block := await asyncio.to_thread(next, blocks, None)) is not None:
        yield block
