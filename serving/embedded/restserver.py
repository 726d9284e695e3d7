"""The REST adapter on a port of its own, one thread for each connection; as many answers at once as there are threads."""

from __future__ import annotations

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from core.hosts import family_of
from core.telemetry.logs import get_logger
from serving.embedded.httpbody import BodyError, read_body
from serving.embedded.rest import Answer, RestAdapter

_log = get_logger(__name__)

_CORS = (
    ("Access-Control-Allow-Origin", "*"),
    ("Access-Control-Allow-Methods", "POST, GET"),
    ("Access-Control-Allow-Headers", "Content-Type"),
)
_NO_BODY = frozenset({"HEAD"})


class RestServer:
    """Carries HTTP/1.1 requests to a RestAdapter."""

    def __init__(
        self, adapter: RestAdapter, host: str, port: int, *, threads: int, cors: bool = False, silence_s: float = 60.0
    ) -> None:
        """Open the port; nothing is answered before `start`.

        Args:
            adapter: answers.
            host: address to listen on.
            port: of TCP; 0 takes a free one.
            threads: requests that are answered at once; others wait.
            cors: let pages of any origin read the answers.
            silence_s: seconds that a connection may be silent.

        Raises:
            OSError: the port is taken.
        """
        kind = _Server6 if family_of(host) == socket.AF_INET6 else ThreadingHTTPServer
        self._http = kind((host, port), _handler(adapter, threading.Semaphore(threads), cors, silence_s))
        self._http.daemon_threads = True
        self.port = int(self._http.server_address[1])
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.1,), name="rest", daemon=True)

    def start(self) -> None:
        """Answer from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Close the port."""
        if self._thread.ident is not None:
            self._http.shutdown()
            self._thread.join()
        self._http.server_close()


class _Server6(ThreadingHTTPServer):
    address_family = socket.AF_INET6


def _handler(adapter: RestAdapter, slots: threading.Semaphore, cors: bool, silence_s: float) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = silence_s
        # An answer leaves as one write. With Nagle's algorithm a second one waits for a delayed acknowledgement, 40 ms.
        disable_nagle_algorithm = True
        wbufsize = -1

        def _respond(self) -> None:
            try:
                body = read_body(self.rfile, self.headers)  # type: ignore[arg-type]
            except BodyError as error:
                self.close_connection = True  # what comes next may be the rest of that body
                self._write(Answer(error.status, _said(str(error))))
                return
            if self.command == "OPTIONS":
                self._write(_preflight(self.headers.get("Origin", "")))
                return
            with slots:
                answer = adapter.answer(self.command, self.path.split("?")[0], body)
            self._write(answer)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = _respond

        def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002
            """What http.server refuses by itself (a request line that is none), in JSON as all else."""
            self.close_connection = True
            self._write(Answer(int(code), _said(message or self.responses[code][0])))

        def _write(self, answer: Answer) -> None:
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.content_type)
            self.send_header("Content-Length", str(len(answer.body)))
            for name, value in _CORS if cors else ():
                self.send_header(name, value)
            if self.close_connection:
                self.send_header("Connection", "close")
            self.end_headers()
            if self.command not in _NO_BODY:
                self.wfile.write(answer.body)
            self.wfile.flush()

        def log_message(self, format: str, *args: Any) -> None:
            _log.debug("REST", line=format % args)

    return Handler


def _preflight(origin: str) -> Answer:
    """A browser asks before it sends a request from another origin (http_server.cc)."""
    if origin.startswith(("http://", "https://")):
        return Answer(200, b"")
    return Answer(400, _said("Origin header is missing in CORS preflight"))


def _said(words: str) -> bytes:
    return json.dumps({"error": words}).encode()
