"""`Transport` for asyncio, which the other one does not load: a command starts sooner without it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2

from dermq.answers import problem_of, read_object
from dermq.calls import Body, Call
from dermq.connection import Address
from dermq.errors import DermqError
from dermq.retries import Attempts, Retries
from dermq.steps import End, Pause, Steps, T, advance
from dermq.transport import LOST, checked, final_error, make_request, open_http


class AsyncTransport:
    """As `Transport`, for asyncio."""

    def __init__(self, address: Address, retries: Retries) -> None:
        self.url = address.url
        self._address = address
        self.retries = retries
        self._http = open_http(httpx2.AsyncClient, httpx2.AsyncHTTPTransport, address)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def send(self, call: Call) -> httpx2.Response:
        """See Transport.send."""
        attempts = Attempts(self.retries, once=call.once, deadline=call.deadline)
        while True:
            try:
                return checked(await self._http.send(make_request(self._http, call, call.body and _in_thread(call.body))))
            except (DermqError, *LOST) as error:
                pause = attempts.pause_after(error)
                if pause is None:
                    raise final_error(self._address, error) from error
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
        except LOST as error:
            raise final_error(self._address, error) from error


async def _in_thread(body: Body) -> AsyncIterator[bytes]:
    """A body whose blocks are read from the disk in a thread, so that the event loop goes on."""
    blocks = body()
    while (block := await asyncio.to_thread(next, blocks, None)) is not None:
        yield block
