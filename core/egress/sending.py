"""One request to a checked address. No proxy of the environment, no redirect, no cookie; bounded time and bounded bytes."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

from core.egress.addresses import Target
from core.errors import TooLargeError

_PIECE_BYTES = 256 * 1024
_ANSWER_BYTES = 16 * 1024  # of an answer that nobody reads


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    retry_after_s: float | None = None


class _Pinned(http.client.HTTPConnection):
    """A connection to the address of a target, whatever its name resolves to by now."""

    def __init__(self, target: Target, timeout_s: float) -> None:
        super().__init__(target.host, target.port, timeout=timeout_s)
        self._target = target
        self.held: socket.socket | None = None  # http.client lets go of its own when an answer ends the connection

    def connect(self) -> None:
        sock = socket.create_connection((self._target.address, self._target.port), self.timeout)
        if self._target.scheme == "https":
            try:
                sock = trusted().wrap_socket(sock, server_hostname=self._target.host)
            except BaseException:
                sock.close()
                raise
        self.sock = self.held = sock


@cache
def trusted() -> ssl.SSLContext:
    """Certificates are verified against the system's authorities, and SSL_CERT_FILE's where it is set."""
    return ssl.create_default_context()


def post(target: Target, body: bytes, headers: Mapping[str, str], timeout_s: float) -> Answer:
    """Send a POST.

    Args:
        target: where to.
        body: its bytes.
        headers: besides Host and Content-Length.
        timeout_s: for all of it, until the answer's head is there.

    Raises:
        OSError: nobody answers, or the certificate is not trusted.
        http.client.HTTPException: the answer is none of HTTP.
    """
    with _asked(target, "POST", headers, body, timeout_s) as response:
        response.read(_ANSWER_BYTES)
        given = response.headers.get("Retry-After", "")
        return Answer(response.status, float(given) if given.isdigit() else None)


def fetch(target: Target, write: Callable[[bytes], None], *, max_bytes: int, idle_s: float, total_s: float) -> Answer:
    """Hand the body of a GET to `write`, piece by piece, if the answer is 200.

    Args:
        target: where to.
        write: takes the pieces.
        max_bytes: of the body.
        idle_s: without a byte.
        total_s: for all of it.

    Raises:
        TooLargeError: there are more bytes.
        OSError, http.client.HTTPException: as `post`; also an end before the announced one.
    """
    headers = {"Accept-Encoding": "identity"}
    with _asked(target, "GET", headers, None, total_s, idle_s=idle_s) as response:
        if response.status != http.client.OK:
            return Answer(response.status)
        size = 0
        while piece := response.read1(_PIECE_BYTES):
            size += len(piece)
            if size > max_bytes:
                raise TooLargeError(f"the source has more than this server's limit of {max_bytes} bytes")
            write(piece)
        if response.length:
            raise http.client.IncompleteRead(b"", response.length)
        return Answer(response.status)


@contextmanager
def _asked(
    target: Target,
    method: str,
    headers: Mapping[str, str],
    body: bytes | None,
    total_s: float,
    *,
    idle_s: float | None = None,
) -> Iterator[http.client.HTTPResponse]:
    connection = _Pinned(target, min(idle_s or total_s, total_s))
    is_over = threading.Event()

    def end() -> None:  # somebody who sends a byte now and then must not keep a thread for ever
        is_over.set()
        with contextlib.suppress(OSError):
            if connection.held is not None:
                connection.held.shutdown(socket.SHUT_RDWR)

    watch = threading.Timer(total_s, end)
    watch.daemon = True
    watch.start()
    try:
        connection.connect()
        if is_over.is_set():  # there was nothing yet that `end` could shut down
            raise _too_long(total_s)
        connection.request(method, target.path, body, {"User-Agent": "DermQ", **headers})
        with contextlib.closing(connection.getresponse()) as response:
            yield response
        if is_over.is_set():
            raise _too_long(total_s)
    finally:
        watch.cancel()
        connection.close()
        if connection.held is not None:
            connection.held.close()


def _too_long(total_s: float) -> TimeoutError:
    return TimeoutError(f"it took longer than {round(total_s, 1):g} s")
