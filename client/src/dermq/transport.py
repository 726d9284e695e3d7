"""Sends calls over HTTP, sends them again where that is safe, and turns what comes back into values or errors."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any, TypeVar

import httpx2

from dermq.answers import problem_of, read_object
from dermq.calls import Call
from dermq.connection import Address, environment_proxy, is_locked_proxy, locked_proxy, unusable_proxy
from dermq.errors import DermqError, UnreachableError
from dermq.retries import Attempts, Retries
from dermq.steps import End, Pause, Steps, T, advance

LOST = (httpx2.TransportError, httpx2.InvalidURL)  # no answer came
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
        self._http = open_http(httpx2.Client, httpx2.HTTPTransport, address)

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
                return checked(self._http.send(make_request(self._http, call, call.body and call.body())))
            except (DermqError, *LOST) as error:
                pause = attempts.pause_after(error)
                if pause is None:
                    raise final_error(self._address, error) from error
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
        except LOST as error:
            raise final_error(self._address, error) from error


def open_http(client: Callable[..., _Http], direct: Callable[..., Any], address: Address) -> _Http:
    """A client of httpx2; `direct` makes the transport that passes every proxy by."""
    try:
        options = dict(address.options)
        if address.direct:
            # Over http:// nothing is verified; to read the system's authorities would take longer than a request.
            options["transport"] = direct(verify=options["verify"] if address.url.startswith("https:") else False)
        return client(**options)
    except _UNUSABLE as error:
        raise unusable_proxy(error) from error


def final_error(address: Address, error: Exception) -> Exception:
    """What is raised for an error after which nothing is tried again."""
    if isinstance(error, DermqError):
        return error
    if is_locked_proxy(error):
        return locked_proxy()
    proxy = environment_proxy(address) if isinstance(error, httpx2.ConnectError) else ""
    return UnreachableError(address.url, error, f"; the environment names the proxy {proxy} for it" if proxy else "")


def make_request(http: httpx2.Client | httpx2.AsyncClient, call: Call, body: Any) -> httpx2.Request:
    """The request of a call; `body` stands for its blocks, where it has some."""
    content = body if call.body else call.content
    more: dict[str, Any] = {}
    if call.deadline is not None:
        more["timeout"] = _within(http.timeout, max(call.deadline - time.monotonic(), _SHORTEST_S))
    return http.build_request(
        call.method, call.path, params=call.parameters or None, headers=call.headers, content=content, **more
    )


def _within(limits: httpx2.Timeout, left_s: float) -> httpx2.Timeout:
    return httpx2.Timeout(**{of: left_s if limit is None else min(limit, left_s) for of, limit in limits.as_dict().items()})


def checked(response: httpx2.Response) -> httpx2.Response:
    """The answer, if it is none of an error; else that is raised."""
    if response.is_success:
        return response
    raise problem_of(response)
